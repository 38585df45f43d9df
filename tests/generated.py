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

from billing_mcp.faces.mcp import build_stdio_server
from billing_mcp.kernel.registry import Operation
from billing_mcp.operations import REGISTRY
from billing_mcp.settings import Settings
from tests.sandbox import corpus

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
NOW = "2026-03-12T10:00:00Z"
TOOLS_LIST = ROOT / "tests" / "faces" / "tools_list.json"
SERVER = {"command": "billing-mcp", "args": ["serve"]}
"""Found on the client's PATH. No `uvx`: it would run whatever is published under this name."""


def function_table() -> str:
    """The README's table of functions."""
    rows = ["| Function | Permission | What it does |", "|---|---|---|"]
    rows += [f"| `{_call(o)}` | `{o.permission.value}` | {o.summary} |" for o in REGISTRY.values()]
    return "\n".join(rows)


def tools_list() -> str:
    """What an agent sees of the tool."""
    (tool,) = asyncio.run(build_stdio_server(Settings(database="unused.db")).list_tools())
    seen = json.loads(tool.model_dump_json(by_alias=True, exclude_none=True))
    return json.dumps(seen, indent=2, ensure_ascii=False) + "\n"


def demo_output() -> str:
    """What the demo prints on a fixed day, without the ids that are new in every run."""
    command = [sys.executable, "-m", "billing_mcp", "demo"]
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
    TOOLS_LIST.write_text(tools_list(), "utf-8")
    asyncio.run(corpus.rewrite())


if __name__ == "__main__":
    main()
