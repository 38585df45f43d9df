"""Owns the logo on documents: what file may be one, and the drawing that it becomes.

A logo is somebody's file. What it might bring with it is refused: other files and addresses, texts in fonts that are
not here, pictures that unfold to gigabytes, and drawings that repeat themselves without end.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from xml.parsers import expat

from billing_mcp.documents.typesetter import CannotBeSet, typeset
from billing_mcp.domain.errors import InvalidArgument

MOST_BYTES = 1024 * 1024
MOST_PIXELS = 4_000_000

_SVG = "http://www.w3.org/2000/svg"
_SHAPE = re.compile(
    "svg|g|defs|symbol|use|path|rect|circle|ellipse|line|polyline|polygon|linearGradient|radialGradient|stop"
    "|clipPath|title|desc|metadata|style"
)
_DEEPEST = 100
_MOST_SHAPES = 20_000
_MOST_USES = 200
_PNG_BEGINS = b"\x89PNG\r\n\x1a\n"
_TRIAL = '#set document(title: "Logo")\n#set text(lang: "en")\n#image("logo.svg", width: 1cm, alt: "Logo")'
_HINT = "A logo is PNG, or SVG made of shapes alone: turn texts into paths, and embed nothing."


def read_logo(file: Path | None) -> bytes | None:
    """The logo in a file, checked and tried; None without a file.

    Raises InvalidArgument with code `unreadable_file` or `invalid_logo`.
    """
    if file is None:
        return None
    try:
        with file.open("rb") as opened:
            logo = opened.read(MOST_BYTES + 1)
    except OSError as error:
        message = f"the logo {file} cannot be read: {error.strerror}"
        raise InvalidArgument(message, code="unreadable_file", field="invoice_logo", hint="Check its path.") from error
    drawing_of(logo)
    return logo


@lru_cache(maxsize=4)
def drawing_of(logo: bytes) -> str:
    """The logo as SVG that the typesetter takes. Raises InvalidArgument with code `invalid_logo`."""
    if len(logo) > MOST_BYTES:
        raise _refused(f"it has more than {MOST_BYTES} bytes")
    drawing = _around_png(logo) if logo.startswith(_PNG_BEGINS) else _shapes_alone(logo)
    try:
        typeset(_TRIAL, json.dumps({}), {"logo.svg": drawing}, moment=datetime(2000, 1, 1, tzinfo=UTC))
    except CannotBeSet as error:
        raise _refused(str(error)) from error
    return drawing


def _around_png(logo: bytes) -> str:
    """The typesetter takes text alone, so pixels come within a drawing of their size."""
    if logo[12:16] != b"IHDR" or b"IDAT" not in logo:
        raise _refused("it is no whole PNG")
    width, height = int.from_bytes(logo[16:20], "big"), int.from_bytes(logo[20:24], "big")
    if not 0 < width * height <= MOST_PIXELS:
        raise _refused(f"it has {width} by {height} pixels; at most {MOST_PIXELS} in all are taken")
    data = b64encode(logo).decode()
    image = f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/>'
    return f'<svg xmlns="{_SVG}" viewBox="0 0 {width} {height}">{image}</svg>'


def _shapes_alone(logo: bytes) -> str:
    try:
        text = logo.decode("utf-8-sig")
        _Shapes().read(text)
    except UnicodeDecodeError:
        raise _refused("it is neither PNG nor SVG in UTF-8") from None
    except expat.ExpatError as error:
        raise _refused(f"it is neither PNG nor SVG: {error}") from None
    return text


class _Shapes:
    """Reads an SVG by its elements, and refuses what is not a shape, or not in it."""

    def __init__(self) -> None:
        self._open: list[str | None] = []
        self._shapes = 0
        self._using: set[str] = set()
        self._used: list[str] = []

    def read(self, text: str) -> None:
        """Raises InvalidArgument with code `invalid_logo`, and ExpatError for what is not XML."""
        parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(text.encode(), True)
        if len(self._used) > _MOST_USES:
            raise _refused(f"it uses shapes again more than {_MOST_USES} times")
        again = next((name for name in self._used if name in self._using), None)
        if again is not None:
            raise _refused(f"#{again} is used again, and uses others again itself")

    def _doctype(self, _name: str, _system: str | None, _public: str | None, has_own: int) -> None:
        if has_own:
            raise _refused("it declares entities")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        namespace, _, name = tag.rpartition(" ")
        if not self._open and (namespace, name) != (_SVG, "svg"):
            raise _refused(f"its outermost element is {name}, not svg")
        if namespace == _SVG and not _SHAPE.fullmatch(name):
            raise _refused(f"it has an element {name}")
        self._open.append(attributes.get("id"))
        self._shapes += 1
        if len(self._open) > _DEEPEST or self._shapes > _MOST_SHAPES:
            raise _refused(f"it has more than {_MOST_SHAPES} elements, or more than {_DEEPEST} within each other")
        for attribute, value in attributes.items():
            if attribute.rpartition(" ")[2] == "href":
                if not value.startswith("#"):
                    raise _refused(f"it refers to {value[:60]}")
                if name == "use":
                    self._used.append(value[1:])
                    self._using.update(each for each in self._open if each is not None)

    def _end(self, _tag: str) -> None:
        self._open.pop()


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument(f"the logo cannot be used: {why}", code="invalid_logo", field="invoice_logo", hint=_HINT)
