"""Owns the page about errors: what every code means, for whoever follows the `type` of a problem."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from billing_mcp.domain.error_meanings import MEANINGS, RETRIES
from billing_mcp.faces.problem import STATUSES, status_of

INTRODUCTION = (
    "An error over HTTP is `application/problem+json` (RFC 9457). Its `code` never changes, so let programs "
    "decide by it; `detail` says what is wrong this time, `hint` how to mend it, `field` which of the things "
    "that were sent it is about, and `request_id` is what the server's log has it under. The `type` leads here."
)
COMMAND_LINE_ONLY = "Only on the command line"

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--paper:#fff;--quiet:#5b6470;--line:#dfe3e8;--mark:#0b62c4;--shade:#f3f5f7}
@media(prefers-color-scheme:dark){
:root{--ink:#e8eaed;--paper:#14171a;--quiet:#a3acb8;--line:#30363d;--mark:#7ab8ff;--shade:#1f2429}}
body{margin:0 auto;padding:2rem 1.25rem 6rem;max-width:46rem;color:var(--ink);background:var(--paper);
font:1rem/1.55 system-ui,sans-serif}
h1,h2,h3{line-height:1.25}h2{margin-top:3rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{margin:0 0 .25rem;font-size:1rem}a{color:var(--mark);text-decoration:none}a:hover{text-decoration:underline}
section{padding:.75rem 0;overflow-wrap:anywhere}section:target{background:var(--shade);outline:.6rem solid var(--shade)}
p{margin:.25rem 0}dl{margin:.25rem 0;display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}
dt{color:var(--quiet)}dd{margin:0}code,h3 a{font-family:ui-monospace,monospace;font-size:.95em}
nav p{overflow-wrap:anywhere}
"""
_HEADERS = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "public, max-age=3600",
}


async def errors_page(_request: Request) -> Response:
    """The page."""
    return HTMLResponse(_page(), headers=_HEADERS)


def sections() -> dict[str, list[str]]:
    """The codes under headings: their status, and at last those that no server answers with."""
    found = {f"{number} {status.says}": _codes(number) for number, status in STATUSES.items()}
    return found | {COMMAND_LINE_ONLY: [code for code, meaning in MEANINGS.items() if not meaning.served]}


def _codes(status: int) -> list[str]:
    return [code for code, meaning in MEANINGS.items() if meaning.served and status_of(code) == status]


@cache
def _page() -> bytes:
    found = sections()
    contents = "".join(f"<p>{escape(heading)}: {_links(codes)}</p>" for heading, codes in found.items())
    body = "".join(f"<h2>{escape(heading)}</h2>{''.join(map(_section, codes))}" for heading, codes in found.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Errors of billing-mcp</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>Errors</h1><p>{_text(INTRODUCTION)}</p><nav>{contents}</nav>{body}</main></body></html>"
    ).encode()


def _section(code: str) -> str:
    meaning, name = MEANINGS[code], escape(code)
    rows = {"Means": meaning.meaning, "Mend": meaning.mend}
    if meaning.served:
        rows["Send again?"] = RETRIES[meaning.retry]
    listed = "".join(f"<dt>{escape(term)}</dt><dd>{_text(text)}</dd>" for term, text in rows.items())
    head = f'<h3><a href="#{name}">{name}</a></h3><p>{_text(meaning.title)}</p>'
    return f'<section id="{name}">{head}<dl>{listed}</dl></section>'


def _links(codes: list[str]) -> str:
    return ", ".join(f'<a href="#{escape(code)}"><code>{escape(code)}</code></a>' for code in codes)


def _text(text: str) -> str:
    """The text escaped, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
