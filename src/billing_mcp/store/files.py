"""Owns putting a file in its place: whole or not at all, on the disk, and never over another by accident."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from billing_mcp.domain.errors import InvalidArgument, Refused, Unavailable

_WITH_CONTENT = ("-wal", "-journal")
_BESIDE = (*_WITH_CONTENT, "-shm")


@contextmanager
def draft_beside(file: Path) -> Iterator[Path]:
    """An empty private file where another can be renamed to `file`; gone after the block.

    Raises Unavailable when there can be none.
    """
    with explained(file):
        handle, name = tempfile.mkstemp(prefix=".billing-mcp-", suffix=".partial", dir=file.parent)
        os.close(handle)
    draft = Path(name)
    try:
        yield draft
    finally:
        for path in (draft, *beside(draft)):
            path.unlink(missing_ok=True)


@contextmanager
def written_whole(file: Path, *, replace: bool, option: str = "--force") -> Iterator[BinaryIO]:
    """A file to write to, which gets its name after the block, once it is on the disk.

    Raises what `place` raises, before the block too, and Unavailable when the disk refuses.
    """
    check_free(file, replace=replace, option=option)
    with explained(file), draft_beside(file) as draft:
        with draft.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        place(draft, file, replace=replace, option=option)


def place(draft: Path, file: Path, *, replace: bool, option: str) -> None:
    """Give a draft, which is on the disk, its name. Raises Refused unless what is there may be replaced."""
    check_free(file, replace=replace, option=option)
    if replace:
        draft.replace(file)
    else:
        try:
            file.hardlink_to(draft)  # fails where a file has come to be meanwhile
        except FileExistsError:
            raise _exists(file, option) from None
        except OSError:  # a disk without links
            draft.replace(file)
    sync_folder(file.parent)


def check_free(file: Path, *, replace: bool, option: str, alone: bool = True) -> None:
    """Raise BillingError where a file may not be put. With a log of another database it would be destroyed."""
    if file.exists() and not file.is_file():
        raise InvalidArgument(f"{file} is not a file", field="file", hint="Give the path of a file.")
    if file.exists() and not replace:
        raise _exists(file, option)
    for path in beside(file, _WITH_CONTENT) if alone else ():
        if path.exists():
            raise Refused(
                f"{path} belongs to a database that is or was at {file}",
                code="file_exists",
                hint="If nobody uses that database, move both elsewhere together.",
            )


def _exists(file: Path, option: str) -> Refused:
    hint = f"Give {option} to replace it, or another path." if option else "Try again."
    return Refused(f"{file} exists", code="file_exists", hint=hint)


def beside(file: Path, suffixes: tuple[str, ...] = _BESIDE) -> tuple[Path, ...]:
    """What SQLite may keep beside a database."""
    return tuple(Path(f"{file}{suffix}") for suffix in suffixes)


def same(one: Path, other: Path) -> bool:
    """Whether both are one file, by whatever path."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    if sys.platform == "win32":  # has no such thing
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """What the disk raises in the block arrives as one of our errors, about this file."""
    try:
        yield
    except OSError as error:
        raise unusable(file, error) from error


def unusable(file: Path, error: BaseException, hint: str | None = None) -> Unavailable:
    """The error of a file that cannot be read or written."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    hint = hint or "See that its folder exists, may be written, and has room."
    return Unavailable(f"{file} cannot be used: {reason}", hint=hint)
