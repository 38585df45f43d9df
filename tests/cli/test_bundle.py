"""The bundle for Claude Desktop: what is in it, and that it starts as its user wanted, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from packaging.requirements import Requirement

import billing_mcp
from billing_mcp.bundle import build
from billing_mcp.bundle.launcher import take_form
from billing_mcp.domain.errors import Unavailable
from tests.cli.conftest import LOGISTICS, MAIL, NOW, Cli
from tests.faces.server import answer, execute

ROOT = Path(__file__).parent.parent.parent
REQUIRED = {"manifest_version", "name", "version", "description", "author", "server"}
ALLOWED = REQUIRED | {"display_name", "tools", "keywords", "compatibility", "user_config"}
EMPTY = {"BILLING_MCP_BUNDLE_DATABASE": "=", "BILLING_MCP_BUNDLE_KEY": "="}
WRITABLE = "--read-only=false"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle."""
    return build.write_bundle(tmp_path_factory.mktemp("bundle") / "made.mcpb")


@pytest.fixture(scope="module")
def unpacked(file: Path) -> Path:
    """The folder in which a client has unpacked it; nothing else could be the server that answers."""
    folder = file.with_name("extension")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    (folder / "src" / "billing_mcp" / "__init__.py").write_text('__version__ = "9.9.9"\n')
    return folder


@pytest.fixture
def key(cli: Cli, lived: str) -> str:
    """A key to one of the accounts."""
    made: str = cli("keys", "create", "bot", "--account", MAIL, "--json", "--database", lived).json["key"]
    return made


def databases(folder: Path) -> list[str]:
    """The databases that were made there."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*.db")]


def contents(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


@asynccontextmanager
async def started(folder: Path, **form: str) -> AsyncIterator[Client]:
    """The server, started as a client does, but by this Python instead of one that uv makes."""
    manifest = manifest_of(folder)
    fields = {name: str(field["default"]) for name, field in manifest["user_config"].items()} | form

    def filled_in(text: str) -> str:
        for name, value in fields.items():
            text = text.replace(f"${{user_config.{name}}}", "false" if value == "False" else value)
        return text.replace("${__dirname}", str(folder))

    command = manifest["server"]["mcp_config"]
    arguments = [filled_in(text) for text in command["args"]]
    assert (command["command"], *arguments[:3]) == ("uv", "run", "--directory", str(folder))
    environment = {name: filled_in(text) for name, text in command["env"].items()} | {"BILLING_MCP_NOW": NOW}
    start = StdioServerParameters(command=sys.executable, args=arguments[3:], env=environment, cwd=folder)
    async with Client(start, read_timeout_seconds=60) as client:
        yield client


async def value_of(client: Client, code: str) -> Any:
    return answer(await execute(client, code))["result"]


async def refusal_of(client: Client, code: str) -> str:
    error: str = answer(await execute(client, code))["error"]["code"]
    return error


def test_the_manifest_has_the_fields_of_version_0_4_and_no_others(file: Path) -> None:
    manifest = json.loads(contents(file)["manifest.json"])

    assert set(manifest) >= REQUIRED
    assert set(manifest) <= ALLOWED
    assert (manifest["manifest_version"], manifest["name"]) == ("0.4", "billing-mcp")
    assert manifest["version"] == billing_mcp.__version__
    assert set(manifest["server"]) == {"type", "entry_point", "mcp_config"}
    assert manifest["server"]["type"] == "uv"
    assert manifest["server"]["entry_point"] in contents(file)
    assert manifest["server"]["entry_point"] in manifest["server"]["mcp_config"]["args"]


def test_each_field_of_its_form_may_be_left_empty_and_what_may_be_secret_is_hidden(file: Path) -> None:
    form = json.loads(contents(file)["manifest.json"])["user_config"]

    assert set(form) == {"database", "key", "read_only"}
    for field in form.values():
        assert field["title"]
        assert field["description"]
        assert field["required"] is False
    assert [form[name]["default"] for name in form] == ["", "", False]
    assert [name for name in form if form[name].get("sensitive")] == ["database", "key"]


def test_two_builds_are_the_same_bytes(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("BILLING_MCP_DATABASE", f"geheim {folder}")
        monkeypatch.setenv("BILLING_MCP_KEY", "geheim")
        assert cli("bundle").exit_code == 0

    first, second = (folder / f"billing-mcp-{billing_mcp.__version__}.mcpb" for folder in folders)
    assert first.read_bytes() == second.read_bytes()
    assert not any(b"geheim" in content for content in contents(second).values())


def test_it_has_every_file_of_the_package_and_nothing_of_this_machine(file: Path) -> None:
    package = ROOT / "src" / "billing_mcp"
    code = {f"src/{p.relative_to(ROOT / 'src').as_posix()}": p for p in package.rglob("*.*") if p.suffix != ".pyc"}
    inside = contents(file)

    assert set(inside) == {"manifest.json", "pyproject.toml", "src/main.py", *code}
    assert all(inside[name] == path.read_bytes() for name, path in code.items())
    for place in (str(ROOT), sys.prefix, str(Path.home())):
        assert not any(place.encode() in content for content in inside.values())


def test_the_zip_is_plain(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()

    names = [entry.filename for entry in entries]
    assert names == ["manifest.json", *sorted(set(names) - {"manifest.json"})]
    for entry in entries:
        assert not entry.is_dir()
        assert "__pycache__" not in entry.filename
        assert not Path(entry.filename).is_absolute()
        assert entry.external_attr >> 16 == 0o644
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)


def test_it_requires_what_the_project_requires_in_the_versions_that_are_tested(file: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bundled = tomllib.loads(contents(file)["pyproject.toml"].decode())

    assert bundled["project"]["version"] == billing_mcp.__version__
    assert bundled["project"]["requires-python"] == project["requires-python"]
    assert set(map(Requirement, bundled["project"]["dependencies"])) == set(map(Requirement, project["dependencies"]))
    assert bundled["tool"]["uv"]["package"] is False
    pins = dict(pin.split("==") for pin in bundled["tool"]["uv"]["constraint-dependencies"])
    assert pins == {name: version(name) for name in pins}
    assert not pins.keys() & {"billing-mcp", "hypothesis", "mypy", "pytest", "ruff"}


def test_everything_that_a_server_loads_is_pinned(file: Path) -> None:
    modules = "aiosqlite, alembic.command, asyncpg, greenlet, billing_mcp.cli.serve, billing_mcp.faces.http"
    code = f"import sys; before = {{*sys.modules}}; import {modules}; print(*({{*sys.modules}} - before))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    loaded = {name.partition(".")[0] for name in printed.split()}
    pins = tomllib.loads(contents(file)["pyproject.toml"].decode())["tool"]["uv"]["constraint-dependencies"]

    distributions = packages_distributions()
    needed = {build._normal(name) for module in loaded for name in distributions.get(module, [])} - {"billing-mcp"}
    assert len(needed) > 20
    assert needed <= {pin.partition("==")[0] for pin in pins}


async def test_it_starts_and_answers_from_its_own_files_with_a_database_of_your_own(unpacked: Path) -> None:
    async with started(unpacked) as client:
        assert client.server_info is not None
        assert client.server_info.version == "9.9.9"
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert tools == [tool["name"] for tool in manifest_of(unpacked)["tools"]]
        assert await value_of(client, "1 + 1") == 2

    assert databases(Path.home()) == [".local/share/billing-mcp/billing.db"]
    assert databases(unpacked) == []


async def test_the_database_of_its_form_holds_and_changes_are_made_there(unpacked: Path, lived: str) -> None:
    change = f"billing.plan.change(account_id={MAIL!r}, plan_id='smtp_per_proxy')"
    plan = f"billing.current_plan.get(account_id={MAIL!r})['plan_id']"

    async with started(unpacked, database=lived) as client:
        assert (await value_of(client, change))["status"] == "completed"
        assert await value_of(client, plan) == "smtp_per_proxy"


async def test_read_only_holds(unpacked: Path, lived: str) -> None:
    async with started(unpacked, database=lived, read_only="true") as client:
        change = f"billing.plan.change(account_id={MAIL!r}, plan_id='smtp_per_proxy')"
        assert await refusal_of(client, change) == "unknown_function"
        assert await value_of(client, f"billing.wallet_balance.get(account_id={MAIL!r})['currency']") == "EUR"


async def test_the_key_holds(unpacked: Path, lived: str, key: str) -> None:
    async with started(unpacked, database=lived, key=f" {key}\n") as client:
        assert await value_of(client, f"billing.wallet_balance.get(account_id={MAIL!r})['currency']") == "EUR"
        assert await refusal_of(client, f"billing.wallet_balance.get(account_id={LOGISTICS!r})") == "not_found"


def test_a_client_that_loses_the_settings_gets_no_server(unpacked: Path) -> None:
    command = [sys.executable, str(unpacked / "src" / "main.py"), WRITABLE]
    ended = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)

    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (4, "")
    assert line.startswith("error settings_lost: ")


@pytest.mark.parametrize(
    ("arguments", "lost"),
    [
        ([], {}),
        (["--read-only="], {}),
        (["--read-only=${user_config.read_only}"], {}),
        (["--read-only=true", WRITABLE], {}),
        ([WRITABLE], {"BILLING_MCP_BUNDLE_KEY": ""}),
        ([WRITABLE], {"BILLING_MCP_BUNDLE_KEY": "a key without its sign"}),
        ([WRITABLE], {"BILLING_MCP_BUNDLE_KEY": "=${user_config.key}"}),
        ([WRITABLE], {"BILLING_MCP_BUNDLE_DATABASE": ""}),
        ([WRITABLE], {"BILLING_MCP_BUNDLE_DATABASE": "=${user_config.database}"}),
    ],
)
def test_a_setting_that_was_lost_is_not_an_empty_one(arguments: list[str], lost: dict[str, str]) -> None:
    environment = EMPTY | lost

    with pytest.raises(Unavailable, match="settings_lost"):
        take_form(arguments, environment)

    assert not environment.keys() & {"BILLING_MCP_DATABASE", "BILLING_MCP_KEY"}


def test_an_empty_field_takes_no_limit_away() -> None:
    environment = EMPTY | {"BILLING_MCP_BUNDLE_KEY": "=  ", "BILLING_MCP_KEY": "of this machine"}

    assert take_form([WRITABLE], environment) == []
    assert take_form(["--read-only=true"], EMPTY | {}) == ["--read-only"]
    assert environment == {"BILLING_MCP_KEY": "of this machine"}


@pytest.mark.parametrize("url", ["sqlite:////x.db", "postgresql://me@host/name"])
def test_a_database_is_never_in_the_folder_that_an_update_replaces(url: str) -> None:
    home = Path.home()
    for given, taken in (("x.db", home / "x.db"), ("~/x.db", home / "x.db"), ("/x.db", Path("/x.db")), (url, url)):
        environment = EMPTY | {"BILLING_MCP_BUNDLE_DATABASE": f"={given}"}
        take_form([WRITABLE], environment)
        assert environment["BILLING_MCP_DATABASE"] == str(taken)


def test_it_says_what_to_do_with_the_file_and_replaces_the_one_before(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "x.mcpb"
    file.write_bytes(b"an older one")

    said = cli("bundle", str(file))

    assert (said.exit_code, said.stderr) == (0, "")
    assert f"{file}: {file.stat().st_size:,} bytes" in said.words
    assert "In Claude Desktop: Settings, Extensions, Advanced settings, Install Extension" in said.words
    assert zipfile.is_zipfile(file)


def test_what_cannot_be_a_bundle_is_refused_and_left_as_it_is(cli: Cli, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.pdf"
    thesis.write_text("years of work")
    folder = tmp_path / "folder.mcpb"
    folder.mkdir()

    cli("bundle", str(thesis)).refused("invalid_argument", 2)
    refused = cli("bundle", str(folder)).refused("invalid_argument", 2)

    assert thesis.read_text() == "years of work"
    assert "Give a file: " in refused.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["none/x.mcpb", f"{'x' * 300}.mcpb"])
def test_a_file_that_cannot_be_written_is_an_error_in_one_line(cli: Cli, tmp_path: Path, name: str) -> None:
    cli("bundle", str(tmp_path / name)).refused("unavailable", 4)


def test_files_that_are_not_those_installed_make_no_bundle(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> Any:
        raise PackageNotFoundError(name)

    target = tmp_path / "x.mcpb"
    monkeypatch.setattr(build, "__version__", "9.9.9")
    assert "9.9.9" in cli("bundle", str(target)).refused("unavailable", 4).stderr
    monkeypatch.setattr(build, "distribution", nothing)
    assert "not installed" in cli("bundle", str(target)).refused("unavailable", 4).stderr
    assert not target.exists()


def test_what_lies_around_in_a_clone_is_not_packed(tmp_path: Path) -> None:
    for name in ("kept.py", "kept.toml", ".env", ".DS_Store", "__pycache__/x.cpython-311.pyc", "x.pyc", "deep/kept.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(4))

    assert sorted(name for name, _ in build._files(tmp_path, "p")) == ["p/deep/kept.py", "p/kept.py", "p/kept.toml"]
