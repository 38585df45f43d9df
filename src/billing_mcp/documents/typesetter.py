"""Owns the typesetter: a template, a text of JSON and pictures in; PDF out, the same bytes for the same.

Texts reach a template as JSON, so none of them is ever markup. Fonts are those that are in the typesetter; files are
those that it is given. Nothing else is opened, once it has been used.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, cast

import typst

if TYPE_CHECKING:
    from typst import PDFStandard

_TO_KEEP: list[PDFStandard] = ["a-3a", "ua-1"]
_NOT_SHOWN = "could not be displayed"

_REMEMBERED = 11
_LARGE_CHARS = 8_000

_one_at_a_time = Lock()
"""A typesetter cannot be used by two at once."""


class CannotBeSet(Exception):
    """The typesetter refuses a template or a picture; the message is its own."""


def typeset(template: str, document: str, pictures: Mapping[str, str], *, moment: datetime) -> bytes:
    """The PDF of a template, to which `document` is given as JSON; `moment` is when it says that it was made.

    It is PDF/A-3a and PDF/UA-1: for keeping, for searching, and for reading aloud. Where a text has characters that
    no font here has, boxes stand for them, and it is a plain PDF. Raises CannotBeSet.
    """
    sources = {"main.typ": template.encode(), **{name: text.encode() for name, text in pictures.items()}}
    with _one_at_a_time:
        try:
            return _compiled(sources, document, moment, _TO_KEEP)
        except typst.TypstError as error:
            if _NOT_SHOWN not in error.message:
                raise CannotBeSet(error.message) from error
            return _compiled(sources, document, moment, [])
        finally:
            if len(document) > _LARGE_CHARS:
                _forget()


def _compiled(sources: dict[str, bytes], document: str, moment: datetime, standards: list[PDFStandard]) -> bytes:
    pdf = _compiler().compile(
        input=cast("bytes", sources),  # it takes files by their names, which its types do not say
        format="pdf",
        sys_inputs={"document": document},
        timestamp=int(moment.timestamp()),
        pdf_standards=standards,
    )
    return cast("bytes", pdf)


def _forget() -> None:
    """Let go of what was worked out for a document.

    The typesetter keeps that for its last ten, to set them again: 45 MB for each of 230 lines, little for a short one.
    No invoice is set ten times in a row, and nothing but other documents makes it forget: blank ones are soon done.
    """
    for _ in range(_REMEMBERED):
        _compiler().compile(input=b"", format="pdf", sys_inputs={}, timestamp=0)


@cache
def _compiler() -> typst.Compiler:
    # A template that named a file would find those beside it, and not those of the folder that we were started in.
    return typst.Compiler(ignore_system_fonts=True, root=Path(__file__).parent)
