"""Pages of documents as pictures and as texts. `python -m tests.documents.pages` makes those anew that docs/ shows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypdfium2

from billing_mcp.documents.invoice_pdf import render_invoice
from billing_mcp.domain.invoices import Invoice
from tests.documents import samples

DOCS = Path(__file__).parents[2] / "docs"
REFERENCES: Mapping[str, Callable[[], Invoice]] = {"invoice-en.png": samples.english, "invoice-de.png": samples.german}
DOTS_PER_INCH = 100

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_ENDS = 33
_UNFILTERED = b"\0"


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels in rows from the top, three bytes each."""

    width: int
    height: int
    pixels: bytes

    def png(self) -> bytes:
        """The picture as a file."""
        size = 3 * self.width
        rows = b"".join(_UNFILTERED + self.pixels[i : i + size] for i in range(0, len(self.pixels), size))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        return _SIGNATURE + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """A character and its box on the page, in points from the lower left corner."""

    text: str
    left: float
    bottom: float
    right: float
    top: float


def picture_in(png: bytes) -> Picture:
    """The picture in a file that `Picture.png` made."""
    width, height, length = struct.unpack_from(">II", png, 16) + struct.unpack_from(">I", png, _HEADER_ENDS)
    rows = zlib.decompress(png[_HEADER_ENDS + 8 : _HEADER_ENDS + 8 + length])
    size = 3 * width + 1
    return Picture(width, height, b"".join(rows[i + 1 : i + size] for i in range(0, len(rows), size)))


def pictures(pdf: bytes) -> list[Picture]:
    """All pages of a PDF."""
    with pypdfium2.PdfDocument(pdf) as document:
        return [_picture(page) for page in document]


def texts(pdf: bytes) -> list[str]:
    """What can be searched on each page, all white space made single blanks."""
    with pypdfium2.PdfDocument(pdf) as document:
        return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def metadata(pdf: bytes) -> dict[str, Any]:
    """What a reader of PDF shows of the document as a whole."""
    with pypdfium2.PdfDocument(pdf) as document:
        facts: dict[str, Any] = document.get_metadata_dict()
        return facts


def letters(pdf: bytes) -> list[list[Letter]]:
    """Where each character is, for each page; blanks are left out."""
    with pypdfium2.PdfDocument(pdf) as document:
        return [list(_letters(page.get_textpage())) for page in document]


def _letters(page: Any) -> Iterator[Letter]:
    for index, text in enumerate(page.get_text_range()):
        if not text.isspace():
            yield Letter(text, *page.get_charbox(index, loose=True))


def _picture(page: Any) -> Picture:
    bitmap = page.render(scale=DOTS_PER_INCH / 72, rev_byteorder=True)
    assert bitmap.mode == "RGB"
    rows, size = bytes(bitmap.buffer), 3 * bitmap.width
    pixels = b"".join(rows[i : i + size] for i in range(0, bitmap.stride * bitmap.height, bitmap.stride))
    return Picture(bitmap.width, bitmap.height, pixels)


if __name__ == "__main__":
    for name, invoice in REFERENCES.items():
        (DOCS / name).write_bytes(pictures(render_invoice(invoice()))[0].png())
