"""The logo on documents: what may be one, and what is refused before it is anywhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from billing_mcp.documents.invoice_pdf import render_invoice
from billing_mcp.documents.logo import MOST_BYTES, read_logo
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.settings import Settings
from tests.documents import samples
from tests.documents.pages import Picture, pictures, texts

GREEN = (0, 170, 85)
TOP, LEFT, BOTTOM, RIGHT = 55, 98, 134, 394
"""Where the logo is on a page, in pixels."""


def svg(inner: str, attributes: str = 'viewBox="0 0 40 10"', before: str = "") -> bytes:
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"{before}<svg {spaces} {attributes}>{inner}</svg>".encode()


def png(width: int = 200, height: int = 50) -> bytes:
    return Picture(width, height, bytes(GREEN) * (width * height)).png()


SHAPES = svg('<rect width="40" height="10" fill="#00aa55"/>')
FROM_A_PROGRAM = svg(
    '<title>x</title><style>.a{fill:#00aa55}</style><defs><path id="p" d="M0 0h40v10H0z"/></defs>'
    '<metadata><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:li/></r:RDF></metadata>'
    '<clipPath id="c"><use xlink:href="#p"/></clipPath><g clip-path="url(#c)"><use href="#p" class="a"/></g>',
    before='\ufeff<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/x.dtd">',
)


@pytest.mark.parametrize("logo", [SHAPES, FROM_A_PROGRAM, png()], ids=["shapes", "from a program", "png"])
def test_a_logo_is_on_the_letterhead_instead_of_the_sellers_name(tmp_path: Path, logo: bytes) -> None:
    file = tmp_path / "logo"
    file.write_bytes(logo)

    pdf = render_invoice(samples.english(), logo=read_logo(file))

    page = pictures(pdf)[0]
    colours = {
        page.pixels[3 * (y * page.width + x) :][:3] for y in range(TOP + 2, BOTTOM, 9) for x in range(LEFT, RIGHT, 9)
    }
    assert bytes(GREEN) in colours
    named, instead = (texts(each)[0].count(samples.SELLER.name) for each in (render_invoice(samples.english()), pdf))
    assert instead == named - 1
    assert b"<pdfaid:part>3" in pdf
    assert pdf == render_invoice(samples.english(), logo=logo)


def test_without_a_logo_the_sellers_name_is_set() -> None:
    assert read_logo(None) is None
    assert read_logo(Settings(invoice_logo=None).invoice_logo) is None


def nested(depth: int) -> str:
    doubled = "".join(f'<g id="g{i}"><use href="#g{i - 1}"/><use href="#g{i - 1}"/></g>' for i in range(1, depth))
    return f'<g id="g0"><rect width="1" height="1"/></g>{doubled}'


def bomb() -> bytes:
    """A PNG of 600 MB that is small."""
    whole = png(10, 10)
    header = b"IHDR" + (12_000).to_bytes(4, "big") * 2 + whole[24:29]
    return whole[:12] + header + zlib.crc32(header).to_bytes(4, "big") + whole[33:]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: svg('<image href="file:///etc/passwd" width="9" height="9"/>'), "element image"),
        (lambda: svg('<image href="invoice.typ" width="9" height="9"/>'), "element image"),
        (lambda: svg('<image xlink:href="https://example.com/x.png" width="9" height="9"/>'), "element image"),
        (lambda: svg('<use href="https://example.com/x.svg#a"/>'), "refers to https://example.com"),
        (lambda: svg('<use xlink:href="other.svg#a"/>'), "refers to other.svg"),
        (lambda: svg("<script>1</script>"), "element script"),
        (lambda: svg("<text>ACME</text>"), "element text"),
        (lambda: svg('<filter id="f"><feImage href="x"/></filter>'), "element filter"),
        (lambda: svg("<foreignObject/>"), "element foreignObject"),
        (lambda: svg("&a;", before='<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'), "declares entities"),
        (lambda: svg(nested(40)), "uses others again itself"),
        (lambda: svg('<g id="a"><use href="#a"/></g>'), "uses others again itself"),
        (lambda: svg('<path id="a"/>' + '<use href="#a"/>' * 201), "more than 200 times"),
        (lambda: svg("<g>" * 200 + "</g>" * 200), "within each other"),
        (lambda: svg("<g/>" * 20_001), "more than 20000 elements"),
        (lambda: svg("<rect"), "neither PNG nor SVG"),
        (lambda: svg("", 'width="0" height="0"'), "viewbox is invalid"),
        (lambda: b"<html/>", "outermost element is html"),
        (lambda: svg("<g/>").decode().encode("utf-16"), "not SVG in UTF-8|neither PNG nor SVG"),
        (lambda: b"\xff\xd8\xff\xe0 a photograph", "neither PNG nor SVG in UTF-8"),
        (lambda: b"", "neither PNG nor SVG"),
        (lambda: svg(" " * MOST_BYTES), "more than 1048576 bytes"),
        (bomb, "12000 by 12000 pixels"),
        (lambda: png()[:60], "process image"),
        (lambda: png().replace(b"IDAT", b"IDAX"), "no whole PNG"),
        (lambda: png(3, 0), "3 by 0 pixels"),
    ],
)
def test_what_brings_more_than_shapes_is_refused_with_the_reason(
    tmp_path: Path, make: Callable[[], bytes], why: str
) -> None:
    file = tmp_path / "logo.svg"
    file.write_bytes(make())

    with pytest.raises(InvalidArgument, match=why) as refused:
        read_logo(file)
    assert (refused.value.code, refused.value.field) == ("invalid_logo", "invoice_logo")
    with pytest.raises(InvalidArgument, match=why):
        render_invoice(samples.english(), logo=make())


def test_a_logo_that_is_not_there_is_named(tmp_path: Path) -> None:
    for file in (tmp_path / "none.svg", tmp_path):
        with pytest.raises(InvalidArgument, match=str(file)) as refused:
            read_logo(file)
        assert refused.value.code == "unreadable_file"
