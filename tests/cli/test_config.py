"""Connecting MCP clients: a snippet that works on this machine, and a merge that loses nothing."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.cli.conftest import Cli

FILES = {
    "claude-desktop": ".config/Claude/claude_desktop_config.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".config/Code/User/mcp.json",
}
KEYS = {"claude-desktop": "mcpServers", "claude-code": "mcpServers", "cursor": "mcpServers", "vscode": "servers"}
CLIENTS = pytest.mark.parametrize("client", KEYS)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project, with nobody else's settings around."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return project


def file_of(client: str) -> Path:
    return Path.home() / FILES[client] if client in FILES else Path.cwd() / ".mcp.json"


def servers_in(client: str) -> dict[str, Any]:
    servers: dict[str, Any] = json.loads(file_of(client).read_text())[KEYS[client]]
    return servers


@CLIENTS
async def test_what_is_printed_starts_a_server_that_answers(cli: Cli, client: str, lived: str) -> None:
    shown = cli("config", client, "--database", lived)

    assert shown.exit_code == 0
    server = shown.json[KEYS[client]]["billing"]
    assert Path(server["command"]).is_absolute()
    assert str(file_of(client)) in shown.stderr
    assert not file_of(client).exists()
    command = StdioServerParameters(command=server["command"], args=server["args"], env={"PATH": ""})
    async with Client(command) as connected:
        assert [tool.name for tool in (await connected.list_tools()).tools] == ["execute"]


@CLIENTS
def test_writing_keeps_all_else_in_the_file_and_a_backup_of_it(cli: Cli, client: str) -> None:
    file = file_of(client)
    file.parent.mkdir(parents=True, exist_ok=True)
    before = json.dumps({"theme": "dünkel", KEYS[client]: {"other": {"command": "x"}}, "last": [1]})
    file.write_text(before)
    file.chmod(0o640)

    assert cli("config", client, "--write", "--read-only").exit_code == 0

    content = json.loads(file.read_text())
    assert list(content) == ["theme", KEYS[client], "last"]
    assert content["theme"] == "dünkel"
    assert content[KEYS[client]]["other"] == {"command": "x"}
    assert content[KEYS[client]]["billing"]["args"][-1] == "--read-only"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    (backup,) = file.parent.glob("*.bak")
    assert backup.read_text() == before
    assert sorted(file.parent.iterdir()) == sorted([file, backup])


@CLIENTS
def test_writing_makes_the_file_where_there_is_none_and_twice_is_once(cli: Cli, client: str) -> None:
    first = cli("config", client, "--write")
    made = file_of(client).read_text()
    second = cli("config", client, "--write")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert list(servers_in(client)) == ["billing"]
    assert file_of(client).read_text() == made
    assert list(file_of(client).parent.glob("*.bak")) == []


@CLIENTS
def test_another_server_of_the_same_name_is_replaced_only_on_demand(cli: Cli, client: str) -> None:
    cli("config", client, "--write")
    cli("config", client, "--write", "--read-only").refused("server_exists", 3)
    assert servers_in(client)["billing"]["args"] == ["serve"]

    assert cli("config", client, "--write", "--read-only", "--name", "reader").exit_code == 0
    assert cli("config", client, "--write", "--read-only", "--force").exit_code == 0
    assert servers_in(client)["billing"] == servers_in(client)["reader"]


@pytest.mark.parametrize("text", ["{ // mine\n}", '{"mcpServers": {},}', "[]", '{"mcpServers": []}', "not json", "1"])
def test_a_file_that_is_not_plain_json_is_left_as_it_is(cli: Cli, text: str) -> None:
    file = file_of("cursor")
    file.parent.mkdir(parents=True)
    file.write_text(text)

    refused = cli("config", "cursor", "--write").refused("unreadable_file", 2)

    assert "paste" in refused.stderr
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]


def test_a_file_behind_a_link_is_changed_where_it_is(cli: Cli, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text("\ufeff{}", "utf-8")
    link = file_of("cursor")
    link.parent.mkdir(parents=True)
    link.symlink_to(real)

    assert cli("config", "cursor", "--write").exit_code == 0

    assert link.is_symlink()
    assert "billing" in json.loads(real.read_text())["mcpServers"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_file_that_cannot_be_written_is_an_error_in_one_line(cli: Cli) -> None:
    Path.home().mkdir(parents=True, exist_ok=True)
    Path.home().chmod(0o500)
    cli("config", "cursor", "--write").refused("unavailable", 4)


def test_a_folder_in_place_of_the_file_is_an_error_in_one_line(cli: Cli) -> None:
    file_of("cursor").mkdir(parents=True)

    cli("config", "cursor", "--write").refused("unavailable", 4)


@pytest.mark.parametrize(("client", "file"), [("cursor", ".cursor/mcp.json"), ("vscode", ".vscode/mcp.json")])
def test_a_project_has_a_file_of_its_own(cli: Cli, folder: Path, client: str, file: str) -> None:
    assert cli("config", client, "--project", "--write").exit_code == 0

    assert "billing" in json.loads((folder / file).read_text())[KEYS[client]]
    assert not file_of(client).exists()


def test_claude_desktop_knows_no_projects(cli: Cli) -> None:
    cli("config", "claude-desktop", "--project").refused("invalid_argument", 2)


def test_a_database_is_written_with_its_full_path_and_your_own_needs_none(cli: Cli, folder: Path) -> None:
    assert cli("config", "cursor").json["mcpServers"]["billing"]["args"] == ["serve"]
    for given, written in (("x.db", str(folder / "x.db")), ("postgresql://u@h/n", "postgresql://u@h/n")):
        arguments = cli("config", "cursor", "--database", given).json["mcpServers"]["billing"]["args"]
        assert arguments == ["serve", "--database", written]
