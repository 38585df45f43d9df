"""Signing in with tokens of an authorization server: a real one over HTTPS, and a real server process."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client

from billing_mcp.app import App
from billing_mcp.demo.history import STORIES
from billing_mcp.domain.errors import PermissionDenied
from billing_mcp.faces.auth import challenge
from billing_mcp.faces.health import Health
from billing_mcp.faces.http import build_http_app
from billing_mcp.faces.metrics import Metrics
from billing_mcp.faces.rates import Rates
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations import REGISTRY
from billing_mcp.settings import Settings
from tests.conftest import Clock
from tests.faces.issuer import NOW_S, PUBLIC_URL, Issuer, ec_key, issuing, rsa_key
from tests.faces.server import (
    ACCOUNT,
    BALANCE,
    CHANGE,
    HttpServer,
    answer,
    billing_mcp,
    connected,
    environment,
    execute,
    make_key,
    plain_http,
    serving,
)
from tests.processes import warm_command

OTHER = STORIES[1].account_id
AGENTS_PATHS = ("/mcp", "/v1/executions", f"/v1/public/accounts/{ACCOUNT}/billing/balance", "/nowhere", "/v1/messagesx")
PLATFORM_PATHS = (
    *("/metrics", "/v1/platform", "/v1/platform/nowhere"),
    *("/v1/messages", "/v1/messages/batch", "/v1/campaigns", "/v1/campaigns/x/messages"),
    "/v1/accounts/x/webhook-endpoints",
)


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    """An authorization server."""
    with issuing(tmp_path) as running:
        yield running


async def ask(
    server: HttpServer, token: str | None, path: str = "/mcp", method: str = "POST", **headers: str
) -> httpx2.Response:
    """One request; at /mcp it is a call of the tool."""
    given = {"accept": "application/json, text/event-stream", "content-type": "application/json"} | headers
    if token is not None:
        given["authorization"] = f"Bearer {token}"
    arguments = {"name": "execute", "arguments": {"code": "1 + 1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments})
    async with plain_http() as client:
        return await client.request(method, f"http://{server.address}{path}", headers=given, content=body)


async def said_of(server: HttpServer, token: str | None, path: str = "/mcp") -> tuple[int, str]:
    """The status, and the code of the error."""
    response = await ask(server, token, path)
    return response.status_code, response.json()["code"] if response.is_error else ""


async def end_of(server: HttpServer, token: str, script: str) -> str:
    """How a preview of a script ends: its status, or the code of its error."""
    async with connected(server, token) as client:
        done = answer(await execute(client, script, preview=True))
        return str(done["error"]["code"] if "error" in done else done["status"])


async def test_a_token_does_what_its_scopes_allow_with_the_accounts_that_it_names(demo: str, issuer: Issuer) -> None:
    both = "openid billing.view billing.manage"
    viewer = issuer.token()
    manager = issuer.token("ec", scope=both)
    elsewhere = issuer.token(scope=None, scp=both.split(), billing_accounts=f"{OTHER.upper()}")
    key, _ = make_key(demo)
    async with serving(demo, **issuer.environment()) as server:
        assert await end_of(server, viewer, BALANCE) == "previewed"
        assert await end_of(server, viewer, CHANGE) == "permission_denied"
        assert await end_of(server, viewer, BALANCE.replace(ACCOUNT, OTHER)) == "not_found"
        assert await end_of(server, manager, CHANGE) == "previewed"
        assert await end_of(server, elsewhere, BALANCE) == "not_found"
        assert await end_of(server, elsewhere, BALANCE.replace(ACCOUNT, OTHER)) == "previewed"
        assert await end_of(server, key, BALANCE) == "previewed"
    async with serving(demo, "--read-only", **issuer.environment()) as server:
        assert await end_of(server, manager, CHANGE) == "unknown_function"
    async with serving(demo, "--permissions", "view", **issuer.environment()) as server:
        assert await end_of(server, manager, CHANGE) == "permission_denied"
        assert (await ask(server, None)).headers["www-authenticate"].count("billing.manage") == 0


async def test_all_tokens_of_a_subject_at_a_client_are_one_principal_whose_name_is_in_no_record(
    demo: str, issuer: Issuer
) -> None:
    async with serving(demo, **issuer.environment()) as server:
        async with connected(server, issuer.token()) as first:
            done = answer(await execute(first, BALANCE))
        uri = f"billing://executions/{done['execution_id']}"
        async with connected(server, issuer.token("ec", exp=NOW_S + 60, jti="2")) as again:
            assert await again.read_resource(uri)
        for other in ({"sub": "joe@example.com"}, {"client_id": "other"}, {"client_id": None, "azp": "agents"}):
            async with connected(server, issuer.token(**other)) as client:
                with pytest.raises(Exception, match="no such execution"):
                    await client.read_resource(uri)
    assert b"jane@example.com" not in await asyncio.to_thread(Path(demo).read_bytes)


def bad_tokens(issuer: Issuer) -> dict[str, list[str]]:
    """Tokens that are not good, by what is said of them."""
    good = issuer.token()
    head, body, signature = good.split(".")
    joe = issuer.token(sub="joe").split(".")
    stranger = rsa_key("stranger")
    return {
        "it is for another audience": [
            issuer.token(aud=aud)
            for aud in ("https://other.example.com", [f"{PUBLIC_URL}/mcp/x", "x"], f"{PUBLIC_URL}.evil", {"a": 1})
        ],
        "it is of another issuer": [issuer.token(iss=f"{issuer.url}/"), issuer.token(iss="https://evil.example")],
        "it lacks one of": [issuer.token(**{name: None}) for name in ("aud", "exp", "iss")] + [issuer.token(aud=[])],
        "the token has expired": [issuer.token(exp=NOW_S - 30), issuer.token(exp=0)],
        "it is not valid yet": [issuer.token(nbf=NOW_S + 31), issuer.token(iat=NOW_S + 31)],
        "is no moment": [issuer.token(exp=exp) for exp in (True, "2090", 1e300, 10**30, -1, [NOW_S])],
        "it does not say whose it is": [issuer.token(sub=None, client_id=None), issuer.token(client_id=["x"])],
        "its algorithm is not": [
            issuer.by_hand({"alg": "none", "kid": "rsa", "typ": "JWT"}, None),
            issuer.by_hand({"alg": "None", "kid": "rsa", "typ": "JWT"}, None),
            issuer.by_hand({"alg": "HS256", "kid": "rsa", "typ": "JWT"}, issuer.public_pem("rsa")),
            issuer.by_hand({"alg": ["RS256"], "kid": "rsa"}, None),
            issuer.by_hand({"kid": "rsa"}, None),
            issuer.token(algorithm="RS512"),
        ],
        "the issuer has no such key": [issuer.token("unknown", key=stranger), issuer.token("", header={"kid": "RSA"})],
        "it does not name its key": [issuer.token(None), issuer.token("", key=stranger)],
        "critical extensions": [issuer.by_hand({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": True}, None)],
        "its type is not": [issuer.token(header={"typ": typ}) for typ in ("logout+jwt", "dpop+jwt")],
        "it is longer than": [issuer.token(padding="x" * 16_384)],
        "it is no JSON Web Token": [
            "x",
            "a.b.c",
            f"{head}.{body}",
            f"{good}.{signature}",
            f"{good[:-1]}!",
            issuer.by_hand({"alg": "RS256", "kid": 1}, None),
            issuer.token(header={"crit": ["exp"]}),
        ],
        "its signature or its form is not good": [
            f"{head}.{joe[1]}.{signature}",
            f"{head}.{body}.",
            f"{head}.{body}.{joe[2]}",
            issuer.token(key=stranger),
            issuer.token("ec", key=stranger),
            issuer.token("rsa", key=ec_key("stranger")),
            issuer.token("weak"),
            issuer.token("twofold", algorithm="RS256"),
            issuer.token(
                key=stranger, header={"jku": "https://evil.example/keys", "jwk": issuer.published()["keys"][0]}
            ),
            issuer.token(sub=7, client_id="x"),
        ],
    }


async def test_a_token_that_is_not_good_is_refused_and_what_is_wrong_with_it_is_said(demo: str, issuer: Issuer) -> None:
    issuer.keys |= {"weak": rsa_key("weak", 1024), "twofold": rsa_key("twofold")}
    with pytest.warns(match="below the minimum"):
        bad = bad_tokens(issuer)
    published = issuer.published
    issuer.published = lambda: _with_algorithm(published(), "twofold", "PS256")  # type: ignore[method-assign]
    async with serving(demo, **issuer.environment(BILLING_MCP_OAUTH_ALGORITHMS="RS256, ES256, PS256")) as server:
        for reason, tokens in bad.items():
            code = "token_expired" if "expired" in reason else "invalid_token"
            for token in tokens:
                response = await ask(server, token)
                assert (response.status_code, response.json()["code"]) == (401, code), (reason, token)
                assert reason in response.json()["detail"], token
                said = response.headers["www-authenticate"]
                assert said.startswith('Bearer realm="billing-mcp", error="invalid_token", error_description="')
                assert reason in said
        assert (await ask(server, issuer.token())).status_code == 200
        assert await server.stop() == 0
    everything = "\n".join(server.log)
    assert not any(token in everything for tokens in bad.values() for token in tokens if len(token) > 10)
    assert "Traceback" not in everything


def _with_algorithm(published: dict[str, Any], key_id: str, algorithm: str) -> dict[str, Any]:
    return {"keys": [key | ({"alg": algorithm} if key["kid"] == key_id else {}) for key in published["keys"]]}


async def test_clocks_may_differ_by_half_a_minute_and_audiences_by_what_of_us_they_name(
    demo: str, issuer: Issuer
) -> None:
    skewed: list[dict[str, Any]] = [{"exp": NOW_S - 29}, {"nbf": NOW_S + 30, "iat": NOW_S + 30}, {"exp": NOW_S + 0.5}]
    named = [f"{PUBLIC_URL}{path}" for path in ("", "/", "/mcp", "/v1")]
    audiences: list[dict[str, Any]] = [{"aud": aud} for aud in (*named, ["x", PUBLIC_URL])]
    types = [issuer.token(header={"typ": typ}) for typ in ("at+jwt", "AT+JWT", "application/at+jwt", None)]
    async with serving(demo, **issuer.environment()) as server:
        for claims in skewed:
            assert await end_of(server, issuer.token(**claims), BALANCE) == "previewed", claims
        for claims in audiences:
            assert await said_of(server, issuer.token(**claims)) == (200, ""), claims
        for token in types:
            assert await said_of(server, token) == (200, "")
    own = issuer.environment(BILLING_MCP_OAUTH_AUDIENCE="billing, other")
    async with serving(demo, **own) as server:
        assert await said_of(server, issuer.token(aud="billing")) == (200, "")
        assert await said_of(server, issuer.token(aud=PUBLIC_URL)) == (401, "invalid_token")


async def test_a_token_without_a_scope_or_an_account_of_ours_is_refused_as_what_it_lacks(
    demo: str, issuer: Issuer
) -> None:
    async with serving(demo, **issuer.environment(BILLING_MCP_OAUTH_DEFAULT_ACCOUNT_CLAIM="home")) as server:
        for scope in (None, "", "openid", "billing.views", 7, "BILLING.VIEW"):
            response = await ask(server, issuer.token(scope=scope))
            assert (response.status_code, response.json()["code"]) == (403, "permission_denied"), scope
            said = response.headers["www-authenticate"]
            assert 'error="insufficient_scope", scope="billing.view billing.manage", resource_metadata="' in said
        for accounts in (None, [], "", "not-an-id", [ACCOUNT, "x"], {"a": 1}, 7):
            refused = await said_of(server, issuer.token(billing_accounts=accounts))
            assert refused == (403, "no_account_granted"), accounts
        assert await said_of(server, issuer.token(home=OTHER)) == (403, "no_account_granted")
        assert await said_of(server, issuer.token(home=ACCOUNT)) == (200, "")


async def test_50_tokens_at_once_fetch_the_keys_once_and_50_unknown_keys_fetch_nothing(
    demo: str, issuer: Issuer
) -> None:
    unknown = [issuer.token(f"k{number}", key=rsa_key("stranger")) for number in range(50)]
    async with serving(demo, **issuer.environment()) as server:
        good = await asyncio.gather(*(ask(server, issuer.token(jti=str(number))) for number in range(50)))
        assert ({response.status_code for response in good}, issuer.asked) == ({200}, 1)

        bad = await asyncio.gather(*(ask(server, token) for token in unknown))
        assert ({response.status_code for response in bad}, issuer.asked) == ({401}, 1)
        assert await said_of(server, good[0].request.headers["authorization"].removeprefix("Bearer ")) == (200, "")


async def test_a_new_key_is_taken_and_a_removed_one_no_more_once_the_keys_are_fetched_again(
    demo: str, issuer: Issuer
) -> None:
    old = issuer.token()
    async with serving(demo, **issuer.environment(BILLING_MCP_OAUTH_REFRESH_S="1")) as server:
        assert await said_of(server, old) == (200, "")
        issuer.keys["new"] = rsa_key("new")
        while await said_of(server, issuer.token("new")) != (200, ""):
            pass
        assert await said_of(server, old) == (200, "")
        del issuer.keys["rsa"]
        while (said := await said_of(server, old)) == (200, ""):
            pass
        assert said == (401, "invalid_token")
        assert await said_of(server, issuer.token("new")) == (200, "")


async def test_without_keys_no_token_is_taken_and_with_the_last_ones_the_issuer_may_be_away_a_while(
    demo: str, issuer: Issuer
) -> None:
    token, key = issuer.token(), make_key(demo)[0]
    async with serving(demo, **issuer.environment(BILLING_MCP_OAUTH_REFRESH_S="0.5")) as server:
        for mood in ("redirects", "no json", "no keys", "failing", "gone"):
            issuer.mood = mood
            asked = issuer.asked
            while issuer.asked == asked:  # for a moment after a failure it is not asked again
                response = await ask(server, token)
                assert (response.status_code, response.json()["code"]) == (503, "issuer_unavailable"), mood
            assert int(response.headers["retry-after"]) > 0
            assert await said_of(server, key) == (200, "")
        issuer.mood = "well"
        while (await ask(server, token)).status_code != 200:
            pass
        issuer.mood, asked = "gone", issuer.asked
        while issuer.asked < asked + 3:
            assert await said_of(server, token) == (200, "")
            assert await said_of(server, issuer.token("ec")) == (200, "")
        while (said := await said_of(server, token)) == (200, ""):
            pass
        assert said == (503, "issuer_unavailable")
        assert await server.stop() == 0
    everything = "\n".join(server.log)
    told = [f'"reason":"{why}","event":"issuer_keys_not_fetched"' for why in ("HTTP 302", "HTTP 500")]
    assert all(line in everything for line in told), everything
    assert token not in everything


async def test_an_issuer_that_cannot_prove_who_it_is_or_that_is_not_there_is_unavailable(
    demo: str, issuer: Issuer
) -> None:
    nowhere = "https://localhost:1/keys"
    for environment_, why in (
        (issuer.environment(SSL_CERT_FILE=""), "SSLCertVerificationError"),
        (issuer.environment(BILLING_MCP_OAUTH_JWKS_URL=issuer.url.replace("localhost", "127.0.0.1")), "SSLCert"),
        (issuer.environment(BILLING_MCP_OAUTH_JWKS_URL=nowhere), "ConnectionRefusedError"),
    ):
        async with serving(demo, **environment_) as server:
            assert await said_of(server, issuer.token()) == (503, "issuer_unavailable")
            await server.stop()
        assert why in "\n".join(server.log)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OAUTH_JWKS_URL", ""),
        ("OAUTH_JWKS_URL", "http://127.0.0.1/keys"),
        ("OAUTH_JWKS_URL", "file:///etc/passwd"),
        ("OAUTH_JWKS_URL", "https://user:word@id.example.com/keys"),
        ("OAUTH_ISSUER", ""),
        ("OAUTH_ISSUER", "http://id.example.com"),
        ("PUBLIC_URL", ""),
        ("PUBLIC_URL", "https://billing.example.com/below"),
        ("PUBLIC_URL", 'https://billing.example.com"'),
        ("OAUTH_ALGORITHMS", "RS256,HS256"),
        ("OAUTH_ALGORITHMS", "none"),
        ("OAUTH_ALGORITHMS", ""),
    ],
)
def test_settings_that_would_not_let_tokens_be_checked_are_refused_at_the_start_by_name(
    demo: str, tmp_path: Path, name: str, value: str
) -> None:
    whole = Issuer("https://id.example.com", tmp_path).environment()
    failed = subprocess.run(
        warm_command("serve", "--transport", "http", "--port", "0", "--database", demo),
        capture_output=True,
        text=True,
        env=environment(**whole | {f"BILLING_MCP_{name}": value}),
        timeout=60,
        check=False,
    )

    assert failed.returncode == 2
    blamed = "OAUTH_JWKS_URL" if (name, value) == ("OAUTH_ISSUER", "") else name
    assert failed.stderr.startswith(f"error invalid_argument: BILLING_MCP_{blamed}: ")


async def test_the_platform_s_paths_are_for_its_keys_alone_and_all_others_are_not_for_them(
    demo: str, issuer: Issuer
) -> None:
    agent, _ = make_key(demo)
    made = billing_mcp("keys", "create", "platform", "--platform", "--json", "--database", demo)
    platform = json.loads(made.stdout)["key"]
    async with serving(demo, **issuer.environment()) as server:
        for path in PLATFORM_PATHS:
            for credential in (agent, issuer.token(), issuer.token(scope=None), issuer.token(billing_accounts=None)):
                assert await said_of(server, credential, path) == (403, "agent_credential"), path
            assert await said_of(server, issuer.token(exp=1), path) == (401, "token_expired")
            assert (await ask(server, platform, path)).status_code not in (401, 403), path
        for path in AGENTS_PATHS:
            assert await said_of(server, platform, path) == (403, "platform_credential"), path
            assert (await ask(server, agent, path)).status_code not in (401, 403), path
    async with serving(demo) as server:
        for path in PLATFORM_PATHS:
            assert await said_of(server, agent, path) == (403, "agent_credential"), path
            assert await said_of(server, issuer.token(), path) == (401, "invalid_key"), path


async def test_what_is_open_is_open_and_nothing_else_is(demo: str, issuer: Issuer) -> None:
    documents = [f"/.well-known/oauth-protected-resource{path}" for path in ("", "/mcp", "/v1")]
    opened = ["/livez", "/readyz", "/docs", "/openapi.json", "/errors", "/static-offline-docs/x", *documents]
    near = [f"{path}/" for path in opened] + [f"{path}x" for path in opened if path != "/static-offline-docs/x"]
    near = [path for path in near if not path.startswith("/static-offline-docs/")]
    shut = ["/", "/MCP", "//livez", "/livez%2f..%2fmcp", "/static-offline-docs", "/.well-known/x", *near]
    async with serving(demo, **issuer.environment()) as server:
        for path in opened:
            assert (await ask(server, None, path, "GET")).status_code not in (401, 403, 421), path
        for path in (*shut, *AGENTS_PATHS, *PLATFORM_PATHS):
            for method in ("GET", "POST", "OPTIONS", "HEAD"):
                assert (await ask(server, None, path, method)).status_code == 401, (method, path)
        foreign = {path: (await ask(server, None, path, "GET", host="10.1.2.3:8000")).status_code for path in opened}
    assert {path for path, status in foreign.items() if status != 421} == {"/livez", "/readyz"}


async def test_a_credential_in_the_url_is_refused_and_neither_used_nor_logged(demo: str, issuer: Issuer) -> None:
    key, token = make_key(demo)[0], issuer.token()
    async with serving(demo, **issuer.environment()) as server:
        for path in (*AGENTS_PATHS, *PLATFORM_PATHS):
            for name in ("access_token", "token", "key", "api_key", "ACCESS_TOKEN", "api%5Fkey"):
                for header, secret in ((None, key), (key, token)):
                    said = await said_of(server, header, f"{path}?page=1&{name}={secret}")
                    assert said == (400, "credential_in_query"), (path, name)
        assert await said_of(server, key, "/mcp?monkey=1&page_token=2") == (200, "")
        await server.stop()
    assert not any(secret in line for line in server.log for secret in (key, token))


async def test_a_client_learns_from_a_refusal_who_gives_it_a_token(demo: str, issuer: Issuer) -> None:
    scopes = ["billing.view", "billing.manage"]
    async with serving(demo, **issuer.environment()) as server:
        for path in ("", "/mcp", "/v1"):
            document = f"/.well-known/oauth-protected-resource{path}"
            assert (await ask(server, None, document, "GET")).json() == {
                "resource": PUBLIC_URL + path,
                "authorization_servers": [issuer.url],
                "scopes_supported": scopes,
                "bearer_methods_supported": ["header"],
                "resource_name": "billing-mcp",
                "resource_documentation": f"{PUBLIC_URL}/docs",
            }
            refused = await ask(server, None, f"{path}/x")
            assert refused.headers["www-authenticate"] == (
                f'Bearer realm="billing-mcp", scope="{" ".join(scopes)}", resource_metadata="{PUBLIC_URL}{document}"'
            )
    async with serving(demo) as server:
        assert (await ask(server, None, "/.well-known/oauth-protected-resource", "GET")).status_code == 404
        assert "resource_metadata" not in (await ask(server, None)).headers["www-authenticate"]


def test_a_call_that_needs_another_scope_is_answered_with_it() -> None:
    settings = Settings(
        oauth_issuer="https://id.example.com", public_url=PUBLIC_URL, oauth_jwks_url="https://id.example.com/keys"
    )
    refused = PermissionDenied("billing.plan.change needs the permission billing.manage")
    metadata = f"{PUBLIC_URL}/.well-known/oauth-protected-resource/v1"

    assert challenge(refused, settings, "/v1/billing/plan", [Permission.MANAGE]) == {
        "www-authenticate": 'Bearer realm="billing-mcp", error="insufficient_scope", '
        f'scope="billing.manage", resource_metadata="{metadata}"'
    }
    assert challenge(PermissionDenied("no", code="read_only"), settings, "/v1/billing/plan") == {}


class _Proxy(httpx2.AsyncBaseTransport):
    """Leads our public name to the server, as a proxy with TLS does, and all else to where it is."""

    def __init__(self, server: HttpServer, issuer: Issuer) -> None:
        self._address = httpx2.URL(f"http://{server.address}")
        self._outside = httpx2.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=issuer.ca))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "billing.example.com":
            at = {"scheme": "http", "host": self._address.host, "port": self._address.port}
            request.url = request.url.copy_with(**at)
        return await self._outside.handle_async_request(request)

    async def aclose(self) -> None:
        await self._outside.aclose()


class _Memory:
    """Where the SDK's client keeps its tokens."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.info: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.info

    async def set_client_info(self, client_info: Any) -> None:
        self.info = client_info


async def test_the_sdk_s_client_finds_the_issuer_gets_a_token_and_is_let_in(demo: str, issuer: Issuer) -> None:
    url, memory = f"{PUBLIC_URL}/mcp", _Memory()
    provider = ClientCredentialsOAuthProvider(url, memory, "agent", "secret", issuer=issuer.url)
    async with (
        serving(demo, **issuer.environment()) as server,
        httpx2.AsyncClient(transport=_Proxy(server, issuer), auth=provider, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), read_timeout_seconds=60) as client,
    ):
        assert answer(await execute(client, BALANCE))["status"] == "completed"
        assert answer(await execute(client, CHANGE, preview=True))["status"] == "previewed"
    assert issuer.scopes_asked == ["billing.view billing.manage"]


async def test_a_token_that_was_good_ends_at_its_moment_though_it_is_remembered(
    app: App, clock: Clock, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issuer.ca))
    app.settings = Settings(
        database=app.settings.database,
        oauth_issuer=issuer.url,
        public_url=PUBLIC_URL,
        oauth_jwks_url=f"{issuer.url}/keys",
    )
    headers = {"authorization": f"Bearer {issuer.token(exp=NOW_S + 60)}"}
    transport = httpx2.ASGITransport(build_http_app(app, Metrics(REGISTRY), Health(app), Rates(app.settings)))
    async with httpx2.AsyncClient(transport=transport, base_url=PUBLIC_URL, headers=headers) as client:
        for seconds, status in ((0, 404), (0, 404), (89, 404), (90, 401)):
            clock.now = clock.now.replace(minute=0, second=0) + timedelta(seconds=seconds)
            assert (await client.get("/nowhere")).status_code == status, seconds
    assert issuer.asked == 1
