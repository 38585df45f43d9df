"""What derives from the code, and what the README claims, is what the code is."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tomllib
from urllib.parse import parse_qs, unquote, urlsplit

from billing_mcp import __version__
from billing_mcp.settings import Settings
from tests import generated, rest_examples

README = generated.README.read_text("utf-8")
REWRITE = "review the change, then run: python -m tests.generated"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_readme_lists_the_functions_there_are() -> None:
    assert generated.section(README, "functions") == generated.function_table(), REWRITE


def test_the_readme_shows_what_the_demo_prints() -> None:
    assert generated.section(README, "demo") == generated.demo_output(), REWRITE


def test_what_agents_see_of_the_tool_is_reviewed() -> None:
    assert generated.TOOLS_LIST.read_text("utf-8") == generated.tools_list(), REWRITE


def test_what_clients_of_rest_see_is_reviewed() -> None:
    assert generated.OPENAPI.read_text("utf-8") == generated.openapi(), REWRITE


def test_the_examples_of_rest_are_what_the_demo_is_answered() -> None:
    assert generated.REST_EXAMPLES.read_text("utf-8") == asyncio.run(rest_examples.recorded(generated.NOW)), REWRITE


def test_the_page_about_payments_has_every_token_there_is() -> None:
    page = generated.PAYMENTS_PAGE.read_text("utf-8")
    assert generated.section(page, "tokens") == generated.token_table(), REWRITE


def test_the_page_about_errors_has_every_code_there_is() -> None:
    assert generated.ERRORS_PAGE.read_text("utf-8") == generated.errors_page(), REWRITE


def test_the_readme_opens_with_one_line_for_the_demo_and_one_for_the_tests() -> None:
    demo, tests = blocks("sh")[:2]
    assert demo.count("\n") == tests.count("\n") == 1
    assert demo.strip().endswith("billing-mcp demo")
    assert "pytest" in tests


def test_every_setting_in_the_readme_exists() -> None:
    named = set(re.findall(r"BILLING_MCP_([A-Z_]+)", README))
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    assert named


def test_server_json_describes_this_version() -> None:
    server = json.loads((generated.ROOT / "server.json").read_text("utf-8"))
    (package,) = server["packages"]
    assert server["$schema"].endswith("/2025-12-11/server.schema.json")
    assert f"<!-- mcp-name: {server['name']} -->" in README
    assert server["version"] == package["version"] == __version__
    assert len(server["description"]) <= 100
    variables = {v["name"].removeprefix("BILLING_MCP_").lower() for v in package["environmentVariables"]}
    assert variables <= set(Settings.model_fields)


def test_every_dependency_is_pinned_by_name_and_version_alone() -> None:
    constraints = (generated.ROOT / "constraints.txt").read_text("utf-8").splitlines()
    project = tomllib.loads((generated.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]

    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][\w.]*", line) for line in constraints)
    pinned = {line.partition("==")[0] for line in constraints}
    assert {re.split(r"[\[<>=]", each)[0] for each in wanted} <= pinned


def links_in(text: str) -> list[str]:
    """Where the badges lead."""
    return re.findall(r"\]\((https://[^)]+)\)$", text, re.MULTILINE)


def test_the_install_links_of_the_readme_start_the_server() -> None:
    assert generated.section(README, "links") == generated.install_links(), REWRITE
    cursor, vscode = links_in(generated.section(README, "links"))

    query = parse_qs(urlsplit(cursor).query)
    assert query["name"] == ["billing"]
    assert json.loads(base64.b64decode(query["config"][0])) == generated.SERVER
    link = parse_qs(urlsplit(vscode).query)["url"][0]
    assert link.startswith("vscode:mcp/install?")
    assert json.loads(unquote(link.partition("?")[2])) == {"name": "billing", **generated.SERVER}
