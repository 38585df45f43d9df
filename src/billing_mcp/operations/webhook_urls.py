"""Owns which URLs an account may be told of events at: what can be said of them without asking anybody.

What a name stands for is looked up at every attempt, by whoever makes it; here a name is only read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx

from billing_mcp.domain.addresses import address_of, is_loopback, is_public
from billing_mcp.domain.errors import InvalidArgument

MAX_URL_CHARS = 2000

_PORTS = {"https": 443, "http": 80}
_LEAST_OTHER_PORT = 1024
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_NAME_CHARS = 253
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_OURS = ("localhost", "local", "internal", "lan", "intranet", "corp", "home", "home.arpa", "in-addr.arpa", "ip6.arpa")
"""Endings of names that have no meaning on the public internet, or one that differs from place to place."""
_LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class ReceiverURL:
    """A URL in its one way of writing. `host` is an address, without brackets, or a name."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        return self._netloc(self.host)

    def __str__(self) -> str:
        return self.at(self.host)

    def at(self, host: str) -> str:
        """The same URL at another host: at one of the addresses of its name."""
        return f"{self.scheme}://{self._netloc(host)}{self.target}"

    def _netloc(self, host: str) -> str:
        bracketed = f"[{host}]" if ":" in host else host
        return bracketed if self.port == _PORTS[self.scheme] else f"{bracketed}:{self.port}"


def receiver_url(text: str, *, to_loopback: bool = False) -> ReceiverURL:
    """The URL that a text is; `to_loopback` lets this machine itself be meant, by http too.

    Raises InvalidArgument with code `webhook_url_refused`.
    """
    url = _split(text)
    if url.scheme not in _PORTS:
        raise _refused(f"its scheme is {url.scheme or 'missing'}", "Give a URL that begins with https://.")
    host = _host(url)
    local = _check_host(host, to_loopback=to_loopback)
    if url.scheme == "http" and not local:
        raise _refused("it is not encrypted", "Give a URL that begins with https://.")
    port = _port(url, local=local)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return ReceiverURL(url.scheme, host, port, target)


def _split(text: str) -> SplitResult:
    if len(text) > MAX_URL_CHARS:
        raise _refused(f"it has {len(text)} characters", f"At most {MAX_URL_CHARS} are taken.")
    # The parser of the library drops some of these without a word; another one would read another URL.
    if not text.isprintable() or any(each.isspace() or each in '\\"<>^`{|}' for each in text):
        raise _refused("it has a character that no URL has", "Encode it, such as %20 for a space.")
    try:
        url = urlsplit(text)
        named = url.username is not None or url.password is not None or "@" in url.netloc
    except ValueError:
        raise _refused("it is no URL", "Give a URL such as https://hooks.example.com/billing.") from None
    if named:
        raise _refused("it has a user or a password in it", "Verify the signature instead.")
    if "#" in text:
        raise _refused("it has a fragment", "Leave out # and what follows.")
    if not (url.path + url.query).isascii():
        raise _refused("its path is not ASCII", "Encode it, such as %C3%BC.")
    return url


def _host(url: SplitResult) -> str:
    """The host in its one way of writing: an address, or a name in ASCII and small letters, without a last dot."""
    host = (url.hostname or "").removesuffix(".")
    if url.netloc.startswith("["):
        return str(address_of(host) or "")
    try:
        return httpx.URL(scheme="https", host=host).raw_host.decode().lower()
    except (ValueError, httpx.InvalidURL):
        raise _refused("it names no host", "Give a name such as hooks.example.com.") from None


def _check_host(host: str, *, to_loopback: bool) -> bool:
    """Whether it is this machine itself. Raises InvalidArgument for what may not be meant."""
    address = address_of(host)
    if address is not None:
        if to_loopback and is_loopback(address):
            return True
        if not is_public(address):
            raise _refused(f"{host} is no address of the public internet", "Give a host that everybody can reach.")
        return False
    labels = host.split(".")
    # Some resolvers read such a name as an address: 2130706433, 0x7f.1, 127.1, 0177.0.0.1.
    if _NUMBER.fullmatch(labels[-1]):
        raise _refused(f"{host} is no address as it is written", "Write an IPv4 address as four decimal numbers.")
    if len(host) > _MAX_NAME_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(f"{host[:100]} is no name of a host", "Give a name such as hooks.example.com.")
    if to_loopback and labels[-1] == _LOCALHOST:
        return True
    if len(labels) == 1 or any(host == own or host.endswith(f".{own}") for own in _OURS):
        raise _refused(f"{host} is no name on the public internet", "Give a name that everybody can look up.")
    return False


def _port(url: SplitResult, *, local: bool) -> int:
    usual = _PORTS[url.scheme]
    try:
        port = usual if url.port is None else url.port
    except ValueError:
        port = 0
    if port != usual and not (local and port > 0) and port < _LEAST_OTHER_PORT:
        raise _refused("its port is that of another service", f"Use {usual}, or one from {_LEAST_OTHER_PORT} to 65535.")
    return port


def _refused(why: str, hint: str) -> InvalidArgument:
    return InvalidArgument(f"this URL is not told of events: {why}", code="webhook_url_refused", field="url", hint=hint)
