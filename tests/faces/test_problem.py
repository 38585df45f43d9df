"""Errors over HTTP: what every code says and which status it has, and that nothing but that gets out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.error_meanings import MEANINGS, RETRIES, Meaning
from billing_mcp.domain.errors import (
    ERRORS,
    BillingError,
    Conflict,
    InsufficientFunds,
    Internal,
    InvalidArgument,
    NotFound,
    RateLimited,
    Refused,
    Unauthenticated,
    Unavailable,
)
from billing_mcp.domain.ledger import AVAILABLE, RESERVED, Entry, Posting, Wallet, decide
from billing_mcp.faces import errors_page as errors_page_module
from billing_mcp.faces.errors_page import errors_page
from billing_mcp.faces.problem import STATUSES, problem, status_of
from billing_mcp.faces.scope import PUBLIC_URL, REQUEST_ID
from billing_mcp.kernel.answer import AnswerError

ACCOUNT = "0197c9a0-5a00-7000-8000-000000000001"
CODES = pytest.mark.parametrize("code", ERRORS)
STATUS_OF = {
    "not_json": 400, "syntax_error": 400, "account_not_named": 400,
    "key_missing": 401, "key_revoked": 401,
    "insufficient_funds": 402,
    "permission_denied": 403, "origin_not_allowed": 403, "platform_credential": 403, "agent_credential": 403,
    "not_found": 404, "route_not_found": 404,
    "method_not_allowed": 405,
    "body_timeout": 408,
    "plan_unchanged": 409, "hold_not_open": 409, "account_exists": 409, "idempotency_key_in_use": 409, "conflict": 409,
    "body_too_large": 413, "script_too_long": 413,
    "unsupported_media_type": 415,
    "host_not_allowed": 421,
    "invalid_argument": 422, "idempotency_key_reused": 422, "script_error": 422, "time_limit": 422,
    "rate_limited": 429,
    "internal_error": 500,
    "database_busy": 503, "server_busy": 503, "queue_full": 503, "outcome_unknown": 503, "unavailable": 503,
}  # fmt: skip
ODD_TEXTS = ["Zürich \N{EURO SIGN} \N{SNOWMAN}", "a\r\nSet-Cookie: x=1\r\n\r\n<script>", "\ud83d", "\x00\x1b[2J", '"}']
odd = pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)


async def sent(response: Response, scope: Mapping[str, Any] | None = None) -> httpx2.Response:
    """The response as a client gets it, from a request whose scope has these, too."""

    async def app(given: Scope, receive: Receive, send: Send) -> None:
        await response({**given, **(scope or {})}, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://server") as client:
        return await client.get("/")


async def told(error: BillingError | AnswerError, **options: Any) -> dict[str, Any]:
    """The members of a problem, its numbers as they are written."""
    response = await sent(problem(error, **options))
    members: dict[str, Any] = json.loads(response.content, parse_float=Decimal)
    return members


def error_with(code: str, message: str = "no", **more: Any) -> BillingError:
    return ERRORS[code](message, code=code, **more)


def overdrawn(available_micros: int, due_micros: int, reserved_micros: int = 0) -> InsufficientFunds:
    """What the ledger says of a hold that the wallet does not cover."""
    wallet = Wallet(ACCOUNT, "EUR", available_micros, reserved_micros)
    legs = (Entry(AVAILABLE, -due_micros, "EUR"), Entry(RESERVED, due_micros, "EUR"))
    now = system_clock()
    with pytest.raises(InsufficientFunds) as refused:
        decide(wallet, Posting(ACCOUNT, "hold", "Hold", legs, now, hold_id="h"), now=now)
    return refused.value


def test_every_code_has_a_meaning_and_there_is_no_other() -> None:
    assert sorted(MEANINGS) == sorted(ERRORS)
    assert list(MEANINGS) == sorted(MEANINGS)


@CODES
def test_every_code_has_a_title_a_meaning_a_mend_and_a_documented_status(code: str) -> None:
    meaning = MEANINGS[code]

    assert 3 < len(meaning.title) <= 40
    assert not meaning.title.endswith(".")
    for text in (meaning.meaning, meaning.mend):
        assert text[0].isupper() or text.startswith("billing.")
        assert text.endswith(".")
    assert meaning.retry in RETRIES
    assert status_of(code) in STATUSES
    assert sum(meaning.title == other.title for other in MEANINGS.values()) == 1


def test_every_status_is_that_of_some_error_and_no_error_has_two() -> None:
    named = [each for status in STATUSES.values() for each in status.errors]

    assert len(named) == len(set(named))
    assert {each for each in named if isinstance(each, str)} <= set(ERRORS)
    assert {status_of(code) for code in ERRORS} == set(STATUSES)


def test_statuses_are_those_that_whoever_programs_payments_expects() -> None:
    assert {code: status_of(code) for code in STATUS_OF} == STATUS_OF


@CODES
async def test_a_problem_has_the_members_of_rfc_9457_and_our_own(code: str) -> None:
    error = error_with(code, "the matter", hint="Do so.", field="name")
    response = await sent(problem(error), {REQUEST_ID: "req-1", PUBLIC_URL: "https://billing.example/base"})
    body = response.json()

    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["cache-control"] == "no-store"
    assert (response.status_code, body["status"]) == (status_of(code),) * 2
    assert body["type"] == f"https://billing.example/base/errors#{code}"
    assert (body["title"], body["code"]) == (MEANINGS[code].title, code)
    assert (body["field"], body["request_id"]) == ("name", "req-1")
    if status_of(code) != 500:
        assert (body["detail"], body["hint"]) == ("the matter", "Do so.")


async def test_what_is_not_known_is_not_there() -> None:
    assert await told(NotFound("account x does not exist")) == {
        "type": "/errors#not_found",
        "title": "Not found",
        "status": 404,
        "detail": "account x does not exist",
        "code": "not_found",
    }


async def test_the_error_of_an_answer_reads_as_the_error_itself_with_its_line() -> None:
    error = overdrawn(3_500_000, 29_000_000, 10_000_000)
    options = {"idempotency_key": "k", "account_id": ACCOUNT, "more": {"execution_id": "e"}}
    of_answer = await told(AnswerError.of(error, line=3, source="hold()"), **options)

    assert of_answer == {**await told(error, **options), "line": 3, "source": "hold()"}
    assert of_answer["execution_id"] == "e"


@pytest.mark.parametrize(
    ("available", "reserved", "due"),
    [
        ("999999999999.999998", "0.000001", "1999999999999.999997"),
        ("0.000000", "999999999999.999999", "999999999999.999999"),
        ("0.10", "7.00", "0.30"),
        ("0.000001", "0.000001", "0.000003"),
        ("-5.00", "1.00", "0.01"),
    ],
)
async def test_what_is_missing_is_exact_to_the_micro(available: str, reserved: str, due: str) -> None:
    micros = [int(Decimal(text) * 10**6) for text in (available, due, reserved)]
    body = await told(overdrawn(*micros))
    shortfall = Decimal(due) - Decimal(available)

    assert (body["shortfall"], body["free"], body["reserved"]) == (shortfall, Decimal(available), Decimal(reserved))
    assert isinstance(body["shortfall"], Decimal)
    assert (body["currency"], body["status"]) == ("EUR", 402)
    assert [way["amount"] for way in body["ways_to_cover"]] == [shortfall] * 2 + [min(shortfall, Decimal(reserved))]


async def test_numbers_are_written_out_without_exponents_or_quotes() -> None:
    text = (await sent(problem(overdrawn(999_999_999_999_999_999, 10**18)))).text

    assert '"free":999999999999.999999,' in text
    assert '"shortfall":0.000001,' in text


async def test_it_says_how_to_cover_what_is_missing_and_under_which_key_to_try_again() -> None:
    body = await told(overdrawn(3_500_000, 29_000_000, 10_000_000), idempotency_key="k-1", account_id=ACCOUNT)
    credit, topup, release = body["ways_to_cover"]
    missing = {"amount": Decimal("25.50"), "currency": "EUR"}

    assert body["idempotency_key"] == "k-1"
    path = f"/v1/platform/accounts/{ACCOUNT}"
    assert credit == {"way": "credit", "by": "platform", "method": "POST", "path": f"{path}/credits", **missing}
    assert topup["command"] == f"billing-mcp accounts topup {ACCOUNT} 25.50"
    assert release["path"] == f"{path}/holds/{{hold_id}}/release"
    assert release["amount"] == Decimal("10.00")


async def test_nothing_is_to_be_released_where_nothing_is_held_and_no_key_is_named_where_none_was_sent() -> None:
    body = await told(overdrawn(0, 1))

    assert [way["way"] for way in body["ways_to_cover"]] == ["credit", "topup"]
    assert body["ways_to_cover"][0]["path"] == "/v1/platform/accounts/{account_id}/credits"
    assert "idempotency_key" not in body


async def test_a_way_cannot_be_led_astray_by_the_name_of_an_account() -> None:
    body = await told(overdrawn(0, 1), account_id="x; rm -rf / #/../keys")
    credit, topup = body["ways_to_cover"]

    assert credit["path"] == "/v1/platform/accounts/x%3B%20rm%20-rf%20%2F%20%23%2F..%2Fkeys/credits"
    assert topup["command"] == "billing-mcp accounts topup 'x; rm -rf / #/../keys' 0.000001"


async def test_an_error_without_amounts_names_no_ways_to_cover_any() -> None:
    for error in (InsufficientFunds("too little"), Refused("no", code="no_plan")):
        assert not {"shortfall", "ways_to_cover", "currency"} & set(await told(error, account_id=ACCOUNT))


@CODES
async def test_it_says_after_how_many_seconds_to_send_the_same_again_where_that_helps(code: str) -> None:
    answered = await sent(problem(error_with(code)))
    helps = MEANINGS[code].retry == "unchanged" and status_of(code) in (409, 429, 503)

    assert ("retry-after" in answered.headers) == helps
    assert not helps or 1 <= int(answered.headers["retry-after"]) <= 60


async def test_who_is_in_the_way_of_itself_waits_a_second_and_a_limit_says_how_long() -> None:
    busy = await sent(problem(Conflict("running", code="idempotency_key_in_use")))
    limited = await sent(problem(RateLimited("too many"), headers={"Retry-After": "17", "RateLimit-Reset": "17"}))
    transient = {"database_busy", "server_busy", "queue_full", "outcome_unknown", "database_unavailable"}

    assert (busy.status_code, busy.headers["retry-after"]) == (409, "1")
    assert (limited.status_code, limited.headers.get_list("retry-after")) == (429, ["17"])
    assert limited.headers["ratelimit-reset"] == "17"
    for code in transient:
        assert "retry-after" in (await sent(problem(error_with(code)))).headers


def raised(error: BillingError, cause: str) -> BillingError:
    """The error as it is caught, with the exception that has led to it."""
    with pytest.raises(type(error)) as caught:
        raise error from OSError(cause)
    return caught.value


async def test_a_failure_of_ours_says_nothing_of_our_insides_but_to_the_log() -> None:
    secret = "postgresql://me:geheim@host/name"
    error = Internal(f"broken at {secret}", hint=secret)
    with capture_logs() as logged:
        answers = [problem(error), problem(AnswerError.of(error)), problem(raised(error, secret))]

    for answered in [await sent(answer) for answer in answers]:
        assert answered.status_code == 500
        assert answered.json()["detail"] == MEANINGS["internal_error"].meaning
        assert "geheim" not in answered.text + str(answered.headers)
    assert [(entry["event"], entry["exc_info"]) for entry in logged] == [("internal_error", error)]


async def test_the_cause_of_an_error_stays_with_us() -> None:
    error = raised(Unavailable("the database cannot be reached", code="database_unavailable"), "geheim")

    assert "geheim" not in (await sent(problem(error))).text


@odd
async def test_any_text_arrives_as_json_and_none_leaves_its_place(text: str) -> None:
    error = InvalidArgument(text, hint=text, field=text)
    answered = await sent(problem(error, more={"given": [{text: (text,)}]}, idempotency_key=text))
    body = answered.json()
    arrived = text.encode("utf-8", "replace").decode()

    assert (body["detail"], body["hint"], body["field"], body["given"]) == (
        *[arrived] * 3,
        [{arrived: [arrived]}],
    )
    assert set(answered.headers) == {"cache-control", "content-length", "content-type"}


@odd
async def test_no_header_can_be_smuggled_in(text: str) -> None:
    response = problem(Unauthenticated(text), headers={"WWW-Authenticate": f'Bearer scope="{text}"', "Allow": text})

    for _, value in response.raw_headers:
        assert re.fullmatch(rb"[ -~]*", value)
    assert "set-cookie" not in (await sent(response)).headers


async def test_a_problem_that_a_framework_sends_knows_its_request_too() -> None:
    app = FastAPI()

    @app.exception_handler(BillingError)
    async def explain(_request: Request, error: BillingError) -> Response:
        return problem(error)

    @app.get("/")
    def refuse() -> None:
        raise NotFound("no")

    async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, REQUEST_ID: "req-2", PUBLIC_URL: "https://billing.example"}, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=outermost), base_url="http://server") as client:
        body = (await client.get("/")).json()

    assert (body["request_id"], body["type"]) == ("req-2", "https://billing.example/errors#not_found")


async def test_an_id_of_a_request_is_text_like_any_other() -> None:
    answered = await sent(problem(NotFound("no")), {REQUEST_ID: 'a"\n\ud83d'})

    assert answered.json()["request_id"] == 'a"\n?'


class Page(HTMLParser):
    """What a browser finds in a page: ids, links, text, and elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, attribute: str) -> list[str | None]:
        return [found[attribute] for _, found in self.elements if attribute in found]


async def page(method: str = "GET") -> httpx2.Response:
    app = Starlette(routes=[Route("/errors", errors_page)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://server") as client:
        return await client.request(method, "/errors")


async def test_where_a_type_leads_the_code_is_explained() -> None:
    response = await page()
    found = Page(response.text)

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert [each for each in found.all("id") if each in ERRORS] == found.all("id")
    assert sorted(map(str, found.all("id"))) == sorted(ERRORS)
    for meaning in MEANINGS.values():
        for text in (meaning.title, meaning.meaning, meaning.mend):
            assert text.replace("`", "") in found.text
    assert (await page("HEAD")).content == b""


async def test_the_page_runs_nothing_and_loads_nothing() -> None:
    response = await page()
    found = Page(response.text)

    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {tag for tag, _ in found.elements}
    assert not found.all("src")
    assert not [name for _, named in found.elements for name in named if name.startswith("on") or name == "style"]
    assert all(str(link).removeprefix("#") in ERRORS for link in found.all("href"))
    assert not re.search(r"https?:|@import|url\(", response.text)
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_the_pages_own_style_is_the_one_that_is_let_in() -> None:
    response = await page()
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in response.headers["content-security-policy"]
    assert "prefers-color-scheme:dark" in style


async def test_what_texts_say_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<b onclick='x'>&amp; `</code>`."
    monkeypatch.setitem(MEANINGS, "not_json", Meaning(hostile, hostile, hostile))
    errors_page_module._page.cache_clear()
    try:
        found = Page((await page()).text)
    finally:
        errors_page_module._page.cache_clear()

    assert "b" not in {tag for tag, _ in found.elements}
    assert found.text.count(hostile.replace("`", "")) == 3
