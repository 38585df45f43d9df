"""An authorization server on loopback: HTTPS by a CA of its own, keys that change, and a mood that tests set."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.faces.server import ACCOUNT, NOW

PUBLIC_URL = "https://billing.example.com"
NOW_S = int(datetime.fromisoformat(NOW).timestamp())

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Mood = Literal["well", "redirects", "no json", "no keys", "failing", "gone"]


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Making one takes a moment: the same for the same name."""
    del name
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    del name
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Issuer:
    """Its keys by their ids, how it answers, and how often it was asked for keys."""

    url: str
    ca: Path
    keys: dict[str, Key] = field(default_factory=lambda: {"rsa": rsa_key("rsa"), "ec": ec_key("ec")})
    mood: Mood = "well"
    asked: int = 0
    scopes_asked: list[str] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        """What makes a server take our tokens."""
        return {
            "BILLING_MCP_PUBLIC_URL": PUBLIC_URL,
            "BILLING_MCP_OAUTH_ISSUER": self.url,
            "BILLING_MCP_OAUTH_JWKS_URL": f"{self.url}/keys",
            "SSL_CERT_FILE": str(self.ca),
        } | more

    def claims(self, **claims: Any) -> dict[str, Any]:
        """What a good token says, but for `claims`; None leaves one out."""
        usual = {
            "iss": self.url,
            "aud": PUBLIC_URL,
            "sub": "jane@example.com",
            "client_id": "agent",
            "iat": NOW_S,
            "exp": NOW_S + 600,
            "scope": "billing.view",
            "billing_accounts": [ACCOUNT],
        }
        return {name: value for name, value in (usual | claims).items() if value is not None}

    def token(
        self,
        key_id: str | None = "rsa",
        *,
        key: Key | None = None,
        algorithm: str | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A good token, but for what is given."""
        key = key or self.keys[key_id or "rsa"]
        algorithm = algorithm or ("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
        named = {} if key_id is None else {"kid": key_id}
        return jwt.encode(self.claims(**claims), key, algorithm=algorithm, headers=named | (header or {}))

    def by_hand(self, header: dict[str, Any], secret: bytes | None) -> str:
        """A token with any header, signed with a shared secret or not at all: the library would refuse to make it."""
        unsigned = ".".join(_base64(json.dumps(part).encode()) for part in (header, self.claims()))
        signature = b"" if secret is None else hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
        return f"{unsigned}.{_base64(signature)}"

    def public_pem(self, key_id: str) -> bytes:
        return self.keys[key_id].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def published(self) -> dict[str, Any]:
        """The keys as it publishes them."""
        return {"keys": [{"kid": key_id, "use": "sig"} | _jwk(key) for key_id, key in self.keys.items()]}


@contextmanager
def issuing(folder: Path) -> Iterator[Issuer]:
    """An issuer for the block."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        issuer = Issuer(f"https://localhost:{server.server_port}", folder / "ca.pem")
        _Handler.issuer = issuer
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        if self.path == "/.well-known/oauth-authorization-server":
            self._metadata()
            return
        self.issuer.asked += 1
        match self.issuer.mood:
            case "well":
                self._answer(200, self.issuer.published())
            case "redirects":
                # To where good keys are, but nobody said that they may come from there.
                self._answer(302, {}, location=f"{self.issuer.url}/elsewhere")
                self.issuer.mood = "well"
            case "no json":
                self._answer(200, "<html>Sign in</html>")
            case "no keys":
                self._answer(200, {"keys": [{"kty": ["RSA"], "alg": ["RS256"]}, 1]})
            case "failing":
                self._answer(500, {})
            case "gone":
                self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        self.issuer.scopes_asked.append(asked["scope"])
        token = self.issuer.token(aud=asked["resource"], scope=asked["scope"])
        self._answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 600})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def _metadata(self) -> None:
        url = self.issuer.url
        self._answer(
            200,
            {
                "issuer": url,
                "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token",
                "response_types_supported": ["code"],
                "grant_types_supported": ["client_credentials"],
            },
        )

    def _answer(self, status: int, body: Any, **headers: str) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(data)), "content-type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _jwk(key: Key) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"alg": "RS256"}
    return ECAlgorithm.to_jwk(key.public_key(), as_dict=True)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
