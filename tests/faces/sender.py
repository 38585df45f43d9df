"""What a server of the platform sends of messages, and what it is answered."""

from __future__ import annotations

from typing import Any

from tests.faces.platform import PlatformClient, must

PHONE = "+4915112345678"
NOW = "2026-03-12T10:00:00Z"
SMS: dict[str, Any] = {"channel": "sms", "to": [PHONE], "market": "DE", "segments": 1}
RCS: dict[str, Any] = {"channel": "rcs", "to": [PHONE], "market": "DE", "text": "Hello", "sender": "northwind"}
EMAIL: dict[str, Any] = {"channel": "email", "to": ["ada@example.com"]}


class Sender:
    """What a server of the platform sends of messages of one account."""

    def __init__(self, platform: PlatformClient, account_id: str) -> None:
        self.platform = platform
        self.account_id = account_id

    async def send(self, content: dict[str, Any], *, key: str | None = None, **more: Any) -> Any:
        body = {"account_id": self.account_id, **content, **more}
        return await self.platform.send("POST", "/v1/messages", body, key=key)

    async def sent(self, content: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A message that is accepted."""
        message: dict[str, Any] = (await must(self.send(content, **more))).json()
        return message

    async def batch(self, *messages: dict[str, Any], key: str | None = None, **more: Any) -> Any:
        body = {"account_id": self.account_id, "messages": list(messages), **more}
        return await self.platform.send("POST", "/v1/messages/batch", body, key=key)

    async def campaign(self, *messages: dict[str, Any]) -> str:
        """The id of a campaign of messages that are accepted, all of them."""
        answer = (await must(self.batch(*messages, mode="all_or_nothing"))).json()
        return str(answer["campaign_id"])

    async def report(self, message: dict[str, Any], status: str = "delivered", **more: Any) -> Any:
        body = {"account_id": self.account_id, "status": status, **more}
        return await self.platform.send("POST", f"/v1/messages/{message['message_id']}/receipts", body)

    async def reported(self, message: dict[str, Any], status: str = "delivered", **more: Any) -> dict[str, Any]:
        """The message after a receipt that is taken in."""
        told: dict[str, Any] = (await must(self.report(message, status, **more))).json()
        return told

    async def hear(self, event_id: str, kind: str = "text", **more: Any) -> Any:
        asked = {"sender": "northwind", "user": PHONE, "event_id": event_id, "kind": kind, "occurred_at": NOW, **more}
        return await self.platform.send("POST", "/v1/messages/inbound", {"account_id": self.account_id, **asked})

    async def act(self, campaign_id: str, act: str, *, key: str | None = None) -> Any:
        path = f"/v1/campaigns/{campaign_id}/{act}"
        return await self.platform.send("POST", path, {"account_id": self.account_id}, key=key)

    async def get(self, path: str) -> Any:
        """What is shown below a path of messages or campaigns."""
        return await self.platform.get(f"/v1/{path}{'&' if '?' in path else '?'}account_id={self.account_id}")

    async def account(self) -> tuple[float, float]:
        """What is free, and what is reserved."""
        shown = await self.platform.get(f"/accounts/{self.account_id}")
        return shown["free"], shown["reserved"]


async def taken(platform: PlatformClient, **asked: int) -> list[dict[str, Any]]:
    """What is taken from the outbox."""
    answer = await must(platform.send("POST", "/v1/messages/outbox/take", asked))
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def finished(platform: PlatformClient, *items: dict[str, Any]) -> int:
    """How many of the messages left the outbox."""
    named = [{name: each[name] for name in ("account_id", "message_id", "lease")} for each in items]
    done: int = (await must(platform.send("POST", "/v1/messages/outbox/done", {"items": named}))).json()["done"]
    return done


def told(body: dict[str, Any]) -> list[tuple[int, str]]:
    """The status of each message of a batch, and why it was refused."""
    assert [each["index"] for each in body["items"]] == list(range(len(body["items"])))
    return [(each["status"], each["error"]["code"] if "error" in each else "") for each in body["items"]]
