"""What derives from the functions and stands in files: `python -m tests.generated` rewrites it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from billing_mcp.cli.common import exit_code
from billing_mcp.domain.error_meanings import MEANINGS, RETRIES
from billing_mcp.domain.errors import ERRORS, InsufficientFunds
from billing_mcp.faces.errors_page import INTRODUCTION, sections
from billing_mcp.faces.mcp import build_stdio_server
from billing_mcp.faces.problem import problem, status_of
from billing_mcp.faces.rest import openapi_parts
from billing_mcp.kernel.registry import Operation
from billing_mcp.operations import REGISTRY
from billing_mcp.payments.tokens import TOKENS
from billing_mcp.settings import Settings
from tests import rest_examples
from tests.sandbox import corpus

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
NOW = "2026-03-12T10:00:00Z"
ERRORS_PAGE = ROOT / "docs" / "errors.md"
PAYMENTS_PAGE = ROOT / "docs" / "payments.md"
TOOLS_LIST = ROOT / "tests" / "faces" / "tools_list.json"
OPENAPI = ROOT / "tests" / "faces" / "openapi.json"
REST_EXAMPLES = ROOT / "src" / "billing_mcp" / "faces" / "rest" / "examples.json"
SERVER = {"command": "billing-mcp", "args": ["serve"]}
"""Found on the client's PATH. No `uvx`: it would run whatever is published under this name."""


def function_table() -> str:
    """The README's table of functions."""
    rows = ["| Function | Permission | What it does |", "|---|---|---|"]
    rows += [f"| `{_call(o)}` | `{o.permission.value}` | {o.summary} |" for o in REGISTRY.values()]
    return "\n".join(rows)


def token_table() -> str:
    """What each token of the test provider does."""
    rows = ["| Token | Method | What it does |", "|---|---|---|"]
    rows += [
        f"| `{t.token}` | {' '.join(filter(None, (t.brand or t.type, t.last4)))} | {t.does} |" for t in TOKENS.values()
    ]
    return "\n".join(rows)


def errors_page() -> str:
    """What each error means. A heading is a code and nothing else: its anchor is the code."""
    parts = ["# Errors", INTRODUCTION, f"```json\n{_problem()}\n```", _MORE_ON_ERRORS]
    for heading, codes in sections().items():
        parts += [f"## {heading}", *(_error(code) for code in codes)]
    return "\n\n".join(parts) + "\n"


def tools_list() -> str:
    """What an agent sees of the tool."""
    (tool,) = asyncio.run(build_stdio_server(Settings(database="unused.db")).list_tools())
    seen = json.loads(tool.model_dump_json(by_alias=True, exclude_none=True))
    return json.dumps(seen, indent=2, ensure_ascii=False) + "\n"


def openapi() -> str:
    """What a client of REST sees."""
    return asyncio.run(rest_examples.document())


def demo_output() -> str:
    """What the demo prints on a fixed day, without the ids that are new in every run."""
    command = [sys.executable, "-m", "billing_mcp", "demo", "--messages", "50"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("BILLING_MCP_")} | {"BILLING_MCP_NOW": NOW}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    without_ids = re.sub(r"  [0-9a-f]{8}-[0-9a-f-]{27}$", "", printed, flags=re.MULTILINE)
    lines = [line.rstrip() for line in without_ids.splitlines()]
    return "\n".join(["```text", *lines, "```"])


def install_links() -> str:
    """The README's badges, which add the server to Cursor and to VS Code."""
    cursor = "https://cursor.com/deeplink/mcp-install-dark.svg"
    vscode = "https://img.shields.io/badge/VS_Code-Install_server-0098FF"
    return f"[![Add to Cursor]({cursor})]({_cursor_link()})\n[![Add to VS Code]({vscode})]({_vscode_link()})"


def with_section(text: str, name: str, content: str) -> str:
    """The text with the content between the marks of a section."""
    section = re.compile(rf"(<!-- {name}: start -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    return section.sub(lambda marks: f"{marks[1]}{content}\n{marks[2]}", text)


def section(text: str, name: str) -> str:
    """What stands between the marks of a section."""
    return text.partition(f"<!-- {name}: start -->\n")[2].partition(f"\n<!-- {name}: end -->")[0]


_MORE_ON_ERRORS = """\
Amounts such as `shortfall` are exact JSON numbers: read them as decimals, not as binary floats. `ways_to_cover` lists
what can be done about it today, and by whom: `platform` has a platform's key, `operator` runs the server. More ways may
be added. What was refused has changed nothing and used up no idempotency key: the `idempotency_key` is the one that
was sent, and the same request under it works once the wallet covers it. Where there is a `Retry-After`, the same
request may succeed after as many seconds.

A server shows this under `/errors`. On the command line an error is one line on standard error, and an exit code; in a
script it is an exception whose text begins with the code."""


def _problem() -> str:
    """How a wallet says over HTTP that it does not cover an amount."""
    error = InsufficientFunds(
        "29.00 EUR is due, but only 3.50 is available",
        hint="Top up at least 25.50 EUR first.",
        amounts={"free": "3.50", "reserved": "10.00", "shortfall": "25.50"},
        currency="EUR",
    )
    account = "0197c9a0-5a00-7000-8000-000000000001"
    body = problem(error, idempotency_key="plan-2026-03", account_id=account).body
    return msgspec.json.format(bytes(body), indent=2).decode()


def _error(code: str) -> str:
    meaning = MEANINGS[code]
    rows = [f"- **Mend:** {meaning.mend}", f"- **Exit code:** {exit_code(ERRORS[code])}"]
    if meaning.served:
        rows.insert(1, f"- **HTTP:** {status_of(code)}")
        rows.append(f"- **Send again under the same idempotency key?** {RETRIES[meaning.retry]}")
    return f"### {code}\n\n{meaning.title}. {meaning.meaning}\n\n" + "\n".join(rows)


def _cursor_link() -> str:
    """Its https form: GitHub shows no links of other schemes."""
    config = base64.b64encode(_compact(SERVER).encode()).decode()
    return f"https://cursor.com/en/install-mcp?name=billing&config={_encoded(config)}"


def _vscode_link() -> str:
    """Encoded twice: the page takes the link that VS Code opens, which holds JSON."""
    link = f"vscode:mcp/install?{_encoded(_compact({'name': 'billing', **SERVER}))}"
    return f"https://insiders.vscode.dev/redirect?url={_encoded(link)}"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _encoded(text: str) -> str:
    """As JavaScript's encodeURIComponent, which these clients undo."""
    return quote(text, safe="!'()*-._~")


def _call(operation: Operation) -> str:
    arguments = (
        p.name if p.required else f"{p.name}={'None' if p.default is None else p.default}" for p in operation.parameters
    )
    return f"{operation.name}({', '.join(arguments)})"


def main() -> None:
    """Rewrite everything that is generated."""
    readme = with_section(README.read_text("utf-8"), "functions", function_table())
    readme = with_section(readme, "links", install_links())
    README.write_text(with_section(readme, "demo", demo_output()), "utf-8")
    ERRORS_PAGE.write_text(errors_page(), "utf-8")
    PAYMENTS_PAGE.write_text(with_section(PAYMENTS_PAGE.read_text("utf-8"), "tokens", token_table()), "utf-8")
    TOOLS_LIST.write_text(tools_list(), "utf-8")
    REST_EXAMPLES.write_text(asyncio.run(rest_examples.recorded(NOW)), "utf-8")
    openapi_parts.recorded.cache_clear()
    OPENAPI.write_text(openapi(), "utf-8")
    asyncio.run(corpus.rewrite())


if __name__ == "__main__":
    main()
