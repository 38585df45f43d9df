"""Where a receiver may be: no address or name that leads anywhere but to the public internet opens a connection."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import trustme

from billing_mcp.domain.addresses import address_of, is_public
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.webhooks import Endpoint
from billing_mcp.operations.webhook_urls import receiver_url
from billing_mcp.worker.receivers import Receivers
from tests.conftest import NOW, Clock
from tests.store.books import ACCOUNT
from tests.webhooks.receiver import receiving

FORBIDDEN = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255"),  # noqa: S104
    *("127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1"),
    *("198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:93.184.216.34", "64:ff9b::7f00:1"),
    *("64:ff9b::5db8:d822", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1"),
    *("2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:5db8:d822::1", "3fff::1", "5f00::1"),
    *("fc00::1", "fd12:3456:789a::1", "fe80::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1"),
)
PUBLIC = ("93.184.216.34", "1.1.1.1", "8.8.8.8", "192.0.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111")
WRONG_URLS = (
    *("http://93.184.216.34/", "ftp://example.com/", "file:///etc/passwd", "https://", "https:///path", "example.com"),
    *("https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://127.1/", "https://0177.0.0.1/"),
    *("https://127.0.0.1./", "https://0/", "https://1.1.1.256/", "https://1.2.3.4.5/", "https://example.0x7f/"),
    *("https://user@example.com/", "https://user:pw@example.com/", "https://example.com#x", "https://@example.com/"),
    *(
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://printer.local/",
        "https://intranet/",
    ),
    *("https://metadata.google.internal/", "https://router.home.arpa/", "https://1.0.0.127.in-addr.arpa/"),
    *("https://[fe80::1%25eth0]/", "https://[::1%1]/", "https://[::1", "https://[v1.a]/", "https://[example.com]/"),
    *("https://exa mple.com/", "https://example.com\\@127.0.0.1/", "https://exam\tple.com/", "https://example.com/\n"),
    *("https://example.com:0/", "https://example.com:22/", "https://example.com:65536/", "https://example.com:x/"),
    *("https://exam%70le.com/", "https://-a.example.com/", "https://a..example.com/", f"https://{'a' * 64}.com/"),
    *(f"https://example.com/{'a' * 2000}", "https://\uff11\uff12\uff17.0.0.1/", "https://\u2460.example.com/"),
    *("https://example.com/\u00fc", "https://example.com/\u202e"),
)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that a socket of this process is to be connected to, by whatever way; none is."""
    found: list[Any] = []

    def connect(_socket: socket.socket, address: Any) -> None:
        found.append(address)
        raise OSError("no connection in this test")

    async def sock_connect(_loop: Any, _sock: socket.socket, address: Any) -> None:
        found.append(address)
        raise OSError("no connection in this test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", sock_connect)
    return found


def _endpoint(url: str) -> Endpoint:
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    return Endpoint(ACCOUNT, ACCOUNT, url, (), secret, None, None, "enabled", None, None, NOW, NOW)


def _known(*answers: Sequence[str]) -> Any:
    """A resolver whose answers are these, one after the other; the last one for good."""
    left = list(answers)

    async def resolve(_name: str, _port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


async def _error(receivers: Receivers, url: str) -> str | None:
    return (await receivers.tell(_endpoint(url), ACCOUNT, "{}")).attempt.error


async def test_a_number_that_may_not_be_meant_opens_no_connection(clock: Clock, opened: list[Any]) -> None:
    for address in FORBIDDEN:
        host = f"[{address}]" if ":" in address else address
        with pytest.raises(InvalidArgument):
            receiver_url(f"https://{host}/")
        assert await _error(Receivers(clock), f"https://{host}/") == "address_refused", address

    assert len(FORBIDDEN) > 40
    assert opened == []


async def test_a_name_that_stands_for_what_may_not_be_meant_opens_no_connection(
    clock: Clock, opened: list[Any]
) -> None:
    for address in (*FORBIDDEN, "fe80::1%eth0", "2606:4700:4700::1111%1", "not-an-address", ""):
        for answer in ([address], ["93.184.216.34", address], [address, "2606:4700:4700::1111"]):
            receivers = Receivers(clock, resolve=_known(answer))
            assert await _error(receivers, "https://hooks.example.com/") == "address_refused", answer

    assert opened == []


async def test_a_url_in_another_notation_opens_no_connection(clock: Clock, opened: list[Any]) -> None:
    receivers = Receivers(clock, resolve=_known(["127.0.0.1"]))
    for url in WRONG_URLS:
        with pytest.raises(InvalidArgument) as refused:
            receiver_url(url)
        assert (refused.value.code, refused.value.field) == ("webhook_url_refused", "url")
        assert await _error(receivers, url) == "address_refused", url

    assert opened == []


async def test_what_is_public_is_connected_to_by_its_number_and_by_nothing_else(
    clock: Clock, opened: list[Any]
) -> None:
    for address in PUBLIC:
        found = address_of(address)
        assert found is not None
        assert is_public(found)
        assert (
            await _error(Receivers(clock, resolve=_known([address])), "https://hooks.example.com/") == "connect_failed"
        )

    assert [each[0] for each in opened] == list(PUBLIC)


async def test_a_name_that_is_another_address_at_the_next_attempt_is_refused_then(
    clock: Clock, opened: list[Any]
) -> None:
    receivers = Receivers(clock, resolve=_known(["93.184.216.34"], ["127.0.0.1"]))

    first = await _error(receivers, "https://rebinding.example.com/")
    second = await _error(receivers, "https://rebinding.example.com/")

    assert (first, second) == ("connect_failed", "address_refused")
    assert [each[0] for each in opened] == ["93.184.216.34"]


async def test_names_that_cannot_be_looked_up_say_so(clock: Clock, opened: list[Any]) -> None:
    async def nobody(_name: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "nobody knows")

    assert await _error(Receivers(clock, resolve=nobody), "https://hooks.example.com/") == "name_unresolved"
    assert await _error(Receivers(clock, resolve=_known([])), "https://hooks.example.com/") == "name_unresolved"
    assert opened == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Hooks.Example.COM.:443/a?b=c", "https://hooks.example.com/a?b=c"),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("https://stra\u00dfe.example", "https://xn--strae-oqa.example/"),
        ("https://[2606:4700:4700:0:0:0:0:1111]:8443/x", "https://[2606:4700:4700::1111]:8443/x"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
    ],
)
def test_a_url_is_kept_in_its_one_way_of_writing(given: str, kept: str) -> None:
    assert str(receiver_url(given)) == kept
    assert str(receiver_url(kept)) == kept


def test_this_machine_may_be_meant_only_where_that_is_allowed() -> None:
    for url in ("http://127.0.0.1:8000/", "http://localhost:8000/x", "http://[::1]/", "https://localhost/"):
        with pytest.raises(InvalidArgument):
            receiver_url(url)
        assert str(receiver_url(url, to_loopback=True)) == url
    for url in ("http://example.com/", "https://10.0.0.1/", "https://[::ffff:127.0.0.1]/", "http://192.168.0.1/"):
        with pytest.raises(InvalidArgument):
            receiver_url(url, to_loopback=True)


class Trust:
    """An authority of the test's own, and a receiver's certificate for some name."""

    def __init__(self, *names: str) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


async def test_the_certificate_must_be_that_of_the_name_though_we_connect_to_a_number(clock: Clock) -> None:
    trust = Trust("hooks.example.com")
    async with receiving(tls=trust.server) as receiver:
        receivers = Receivers(clock, to_loopback=True, resolve=_known(["127.0.0.1"]), trust=trust.client)
        good = await receivers.tell(_endpoint(f"https://hooks.example.com:{receiver.port}/x?y=1"), ACCOUNT, "{}")
        other = await _error(receivers, f"https://other.example.com:{receiver.port}/")
        unknown = Receivers(clock, to_loopback=True, resolve=_known(["127.0.0.1"]))
        assert await _error(unknown, f"https://hooks.example.com:{receiver.port}/") == "tls_failed"

    assert (good.attempt.ok, other) == (True, "tls_failed")
    (heard,) = receiver.heard
    assert heard.headers["host"] == f"hooks.example.com:{receiver.port}"
    assert heard.headers[":path"] == "POST /x?y=1 HTTP/1.1"


async def test_the_next_address_of_a_name_is_tried_where_one_cannot_be_reached(clock: Clock) -> None:
    async with receiving() as receiver:
        receivers = Receivers(clock, to_loopback=True, resolve=_known(["127.0.0.2", "127.0.0.1"]))
        told = await receivers.tell(_endpoint(f"http://localhost:{receiver.port}/"), ACCOUNT, "{}")

    assert (told.attempt.ok, receiver.connections) == (True, 1)


async def test_no_proxy_of_the_environment_is_asked(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        told = await Receivers(clock, to_loopback=True).tell(_endpoint(receiver.url), ACCOUNT, "{}")

    assert (told.attempt.ok, proxy.connections, receiver.connections) == (True, 0, 1)


async def test_two_names_at_one_address_never_share_a_connection(clock: Clock) -> None:
    trust = Trust("one.example.com", "two.example.com")
    async with receiving(tls=trust.server) as receiver:
        receivers = Receivers(clock, to_loopback=True, resolve=_known(["127.0.0.1"]), trust=trust.client)
        for name in ("one", "two", "one"):
            endpoint = replace(_endpoint(""), url=f"https://{name}.example.com:{receiver.port}/")
            assert (await receivers.tell(endpoint, ACCOUNT, "{}")).attempt.ok

    assert receiver.connections == 3


async def test_the_last_lock_refuses_what_the_first_let_through(
    clock: Clock, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    receivers = Receivers(clock, resolve=_known(["93.184.216.34"]))

    async def forged(_url: Any) -> list[Any]:
        return [address_of("10.0.0.1")]

    monkeypatch.setattr(receivers, "_checked", forged)

    assert await _error(receivers, "https://hooks.example.com/") == "address_refused"
    assert opened == []
