"""Owns access tokens (OAuth 2.1, RFC 9068): which are good here, and what principal each stands for.

Times are checked against the app's clock, which tests and demos may stop; the library would look
at its own, so its checks of times are off.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from jwt import PyJWT, get_unverified_header
from jwt.exceptions import InvalidAudienceError, InvalidIssuerError, MissingRequiredClaimError, PyJWTError

from billing_mcp.domain.clock import Clock
from billing_mcp.domain.errors import PermissionDenied, Unauthenticated
from billing_mcp.faces.issuer_keys import IssuerKeys
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.settings import Settings, parse_list

LEEWAY_S = 30
_MAX_CHARS = 16_384
_MAX_KEPT = 4096
_LATEST_S = 8_200_000_000  # in the year 2229; later is a mistake, and much later no date can hold
_TYPES = ("jwt", "at+jwt", "application/at+jwt")


@dataclass(frozen=True, slots=True)
class _Verified:
    """What a token stands for, found by the keys that were fetched at a moment."""

    principal: Principal
    keys_of: float


class TokenVerifier:
    """Tells whose a token is. What it has found is kept until the keys are fetched again, at most."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keys = IssuerKeys(settings.oauth_jwks_url, settings.oauth_refresh_s)
        self._algorithms = parse_list(settings.oauth_algorithms)
        self._audiences = settings.audiences()
        self._verified: dict[bytes, _Verified] = {}
        self._library = PyJWT(
            {
                "require": ["iss", "aud", "exp"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "enforce_minimum_key_length": True,
            }
        )

    async def principal_of(self, token: str) -> Principal:
        """The principal of a token, as its claims have it; the server's own settings may allow less.

        Raises Unauthenticated: invalid_token, token_expired; PermissionDenied: permission_denied for
        one without a scope of ours, no_account_granted; Unavailable: issuer_unavailable.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        kept = self._verified.get(digest)
        if kept is None or kept.keys_of != self._keys.fetched_at or self._keys.due:
            # Noted before the key is looked up: were they changed in between, nothing would be kept.
            keys_of = self._keys.fetched_at
            kept = _Verified(self._principal(await self._claims(token)), keys_of or 0)
            self._keep(digest, kept)
        expires_at = kept.principal.expires_at
        if expires_at is not None and expires_at <= self._clock():
            raise _expired()
        return kept.principal

    def _keep(self, digest: bytes, found: _Verified) -> None:
        self._verified.pop(digest, None)
        if len(self._verified) >= _MAX_KEPT:
            self._verified.pop(next(iter(self._verified)))
        self._verified[digest] = found

    async def _claims(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature, issuer, audience and times are good."""
        key = await self._keys.get(self._key_id(token))
        if key is None:
            raise _invalid("the issuer has no such key")
        try:
            claims = self._library.decode(
                token, key, self._algorithms, audience=self._audiences, issuer=self._settings.oauth_issuer
            )
        except PyJWTError as error:
            raise _invalid(_said(error)) from None
        self._check_times(claims)
        return claims

    def _key_id(self, token: str) -> str:
        """What the header says signed it, of a token that is worth looking further at."""
        if len(token) > _MAX_CHARS:
            raise _invalid(f"it is longer than {_MAX_CHARS} characters")
        try:
            header = get_unverified_header(token)
        except PyJWTError:
            raise _invalid("it is no JSON Web Token that can be read here") from None
        key_id, kind = header.get("kid"), header.get("typ", "JWT")
        if header.get("alg") not in self._algorithms:
            raise _invalid("its algorithm is not one of those that are taken here")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise _invalid("its type is not that of an access token")
        if "crit" in header:
            raise _invalid("it has critical extensions, and none is known here")
        if not isinstance(key_id, str) or not key_id:
            raise _invalid("it does not name its key")
        return key_id

    def _check_times(self, claims: dict[str, Any]) -> None:
        now_s = self._clock().timestamp()
        if _epoch_s(claims, "exp") + LEEWAY_S <= now_s:
            raise _expired()
        for name in ("nbf", "iat"):
            if name in claims and _epoch_s(claims, name) - LEEWAY_S > now_s:
                raise _invalid("it is not valid yet")

    def _principal(self, claims: dict[str, Any]) -> Principal:
        permissions = _permissions(claims)
        accounts = _account_ids(claims, self._settings.oauth_account_claim)
        default = _account_ids(claims, self._settings.oauth_default_account_claim)
        if not accounts or len(default) > 1 or not accounts.issuperset(default):
            raise PermissionDenied(
                "the token grants no account, or its default is none of those that it grants",
                code="no_account_granted",
                hint=f"The authorization server names accounts in the claim {self._settings.oauth_account_claim}.",
            )
        return Principal(
            principal_id=_principal_id(claims),
            permissions=permissions,
            account_ids=accounts,
            # with the leeway, or a call would be refused with a token that was let in
            expires_at=datetime.fromtimestamp(_epoch_s(claims, "exp") + LEEWAY_S, UTC),
            default_account_id=next(iter(default), None),
        )


def _permissions(claims: dict[str, Any]) -> frozenset[Permission]:
    scopes = _texts(claims.get("scope", claims.get("scp")))
    granted = frozenset(p for p in Permission if p.value in scopes)
    if not granted:
        raise PermissionDenied(
            f"the token has none of the scopes {', '.join(Permission)}",
            hint="Ask the authorization server for a token with the scope that is needed.",
        )
    return granted


def _account_ids(claims: dict[str, Any], claim: str) -> frozenset[str]:
    """The ids in a claim, in the form in which we keep them; none where one is no id."""
    try:
        return frozenset(str(UUID(text)) for text in _texts(claims.get(claim)))
    except ValueError:
        return frozenset()


def _texts(value: object) -> list[str]:
    """What a claim lists: a list, or a text with spaces between."""
    if isinstance(value, str):
        return value.split()
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _principal_id(claims: dict[str, Any]) -> str:
    """The same for every token of a subject at a client; a hash, for a subject may be somebody's address."""
    subject = claims.get("sub", "")
    client = claims.get("client_id", claims.get("azp", ""))
    if not (isinstance(client, str) and (subject or client)):
        raise _invalid("it does not say whose it is")
    who = json.dumps([claims["iss"], subject, client])
    return f"oauth_{hashlib.sha256(who.encode()).hexdigest()[:32]}"


def _epoch_s(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST_S:
        raise _invalid(f"its {name} is no moment")
    return float(value)


def _said(error: PyJWTError) -> str:
    """In our words: those of the library may quote the token."""
    match error:
        case InvalidAudienceError():
            return "it is for another audience"
        case InvalidIssuerError():
            return "it is of another issuer"
        case MissingRequiredClaimError():
            return "it lacks one of iss, aud and exp"
    return "its signature or its form is not good"


def _invalid(reason: str) -> Unauthenticated:
    return Unauthenticated(
        f"this token is not good here: {reason}",
        code="invalid_token",
        hint="Get another from the authorization server, for this server.",
    )


def _expired() -> Unauthenticated:
    return Unauthenticated(
        "the token has expired", code="token_expired", hint="Get another from the authorization server."
    )
