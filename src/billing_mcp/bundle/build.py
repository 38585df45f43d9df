"""Owns what is in the bundle: this package, its launcher, and its requirements as they are installed here.

The client's own `uv` installs them at the first start, so one file serves all systems. The same
installation gives the same bytes.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path

from billing_mcp import __version__
from billing_mcp.bundle.manifest import LAUNCHER, manifest
from billing_mcp.domain.errors import InvalidArgument, Unavailable

_NAME = "billing-mcp"

_SUFFIX = ".mcpb"
_FILE = f"{_NAME}-{__version__}{_SUFFIX}"
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_REQUIREMENT = re.compile(r"([\w.-]+)\s*(?:\[([^]]*)])?")
_EXTRA = re.compile(r"extra\s*==\s*[\"']([^\"']+)[\"']")


def write_bundle(file: Path | None = None) -> Path:
    """Write the bundle, by default into this folder under its name and version. Returns its file.

    Raises InvalidArgument for what cannot be a bundle, and Unavailable when it cannot be made or written.
    """
    file = file or Path(_FILE)
    try:
        if file.is_dir():
            raise InvalidArgument(f"{file} is a folder", field="file", hint=f"Give a file: {file / _FILE}")
        if file.suffix != _SUFFIX:
            raise InvalidArgument(f"the name of a bundle ends in {_SUFFIX}", field="file", hint=f"For example {_FILE}.")
        file.write_bytes(_zipped(_contents()))
    except OSError as error:
        raise Unavailable(f"{file} cannot be written: {error.strerror}") from error
    return file


def _contents() -> dict[str, bytes]:
    """The files of the bundle by their names in it."""
    installed = _installed()
    about = manifest(
        name=_NAME,
        version=__version__,
        description=installed.metadata["Summary"],
        python=installed.metadata["Requires-Python"],
    )
    package = files("billing_mcp")
    return {
        "manifest.json": (json.dumps(about, indent=2) + "\n").encode(),
        "pyproject.toml": _pyproject(installed).encode(),
        LAUNCHER: (package / "bundle" / "launcher.py").read_bytes(),
        **dict(_files(package, "src/billing_mcp")),
    }


def _installed() -> Distribution:
    try:
        found = distribution(_NAME)
    except PackageNotFoundError:
        raise _not_of_these_files("billing-mcp is not installed here") from None
    if found.version != __version__:
        raise _not_of_these_files(f"billing-mcp is installed as {found.version}, but its files are {__version__}")
    return found


def _not_of_these_files(message: str) -> Unavailable:
    return Unavailable(message, hint="What a bundle requires is known from installing it: pip install .")


def _files(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.name.startswith((".", "__pycache__")) or item.name.endswith(".pyc"):
            continue
        if item.is_dir():
            yield from _files(item, f"{name}/{item.name}")
        else:
            yield f"{name}/{item.name}", item.read_bytes()


def _pyproject(installed: Distribution) -> str:
    """What `uv` installs: the requirements, and for all that they bring the versions that are here."""
    return (
        f'[project]\nname = "{_NAME}"\nversion = "{__version__}"\n'
        f'requires-python = "{installed.metadata["Requires-Python"]}"\n'
        f"dependencies = {_toml(_required(installed, frozenset()))}\n"
        f"[tool.uv]\npackage = false\nconstraint-dependencies = {_toml(_pins(installed))}"
    )


def _toml(items: Iterable[str]) -> str:
    return "".join(["[\n", *(f"    {json.dumps(item)},\n" for item in items), "]\n"])


def _pins(root: Distribution) -> list[str]:
    """The versions of everything installed that the distribution needs, on whichever system."""
    pins: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = _required(root, frozenset())
    while waiting:
        name, extras = _parsed(waiting.pop())
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(name)
        except PackageNotFoundError:  # another system or another Python needs it
            continue
        pins[name] = found.version
        waiting += _required(found, extras)
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def _required(by: Distribution, extras: frozenset[str]) -> list[str]:
    """The requirements, without those of extras that nobody asked for."""
    found = []
    for requirement in by.requires or []:
        only_for = {_normal(extra) for extra in _EXTRA.findall(requirement)}
        if not only_for or only_for & extras:
            found.append(requirement)
    return found


def _parsed(requirement: str) -> tuple[str, frozenset[str]]:
    """Name and extras of a requirement."""
    match = _REQUIREMENT.match(requirement)
    if match is None:
        raise Unavailable(f"an installed package requires {requirement!r}, which names nothing")
    extras = (match[2] or "").split(",")
    return _normal(match[1]), frozenset(_normal(extra) for extra in extras)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).strip().lower()


def _zipped(contents: dict[str, bytes]) -> bytes:
    """A zip file as the format wants it: the manifest first, and no entries for folders."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(contents, key=lambda name: (name != "manifest.json", name)):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system, entry.external_attr = _UNIX, 0o644 << 16
            archive.writestr(entry, contents[name], zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()
