"""Owns charts: stacked bars, for a terminal and as SVG. What is drawn is also written, for who cannot see colours."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from xml.sax.saxutils import escape

from rich.table import Table
from rich.text import Text

_BLUE, _ORANGE, _GREEN = "#0072b2", "#e69f00", "#009e73"
_COLOURS = (_BLUE, _ORANGE, _GREEN)
"""Okabe and Ito's, which people with any kind of colour vision tell apart."""
_GLYPHS = "█▓░"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 420, 70, 20, 70, 50
_FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of parts, one for each series; none of them is drawn when it is less than nothing."""

    label: str
    parts: tuple[Decimal, ...]

    @property
    def total(self) -> Decimal:
        """All parts together."""
        return sum(self.parts, Decimal(0))

    @property
    def height(self) -> Decimal:
        """What is drawn of it."""
        return sum((max(part, Decimal(0)) for part in self.parts), Decimal(0))


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars of up to three series, in the order of the bars."""

    title: str
    series: tuple[str, ...]
    bars: tuple[Bar, ...]
    unit: str

    @property
    def top(self) -> Decimal:
        """The highest bar; 1 when there is none."""
        return max((bar.height for bar in self.bars), default=Decimal(0)) or Decimal(1)

    def shown(self, value: Decimal) -> str:
        """A value as it is written beside a bar."""
        return f"{value:,.2f}" if self.unit else f"{value:,}"


def in_terminal(chart: Chart, *, width: int) -> Table:
    """The chart as a table of bars, each `width` characters at most."""
    legend = Text("  ").join(
        Text(f"{_GLYPHS[number]} {name}", style=_COLOURS[number]) for number, name in enumerate(chart.series)
    )
    table = Table(title=chart.title, title_justify="left", box=None, caption=legend, caption_justify="left")
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("", no_wrap=True, width=width)
    table.add_column(chart.unit, justify="right", no_wrap=True)
    for bar in chart.bars:
        table.add_row(bar.label, _line(bar, chart.top, width), chart.shown(bar.total) if bar.total else "·")
    return table


def _line(bar: Bar, top: Decimal, width: int) -> Text:
    """The parts of a bar, together as long as their sum: each ends where it ends, rounded."""
    line, drawn, upto = Text(), 0, Decimal(0)
    for number, part in enumerate(bar.parts):
        upto += max(part, Decimal(0))
        end = round(upto / top * width)
        line.append(_GLYPHS[number] * (end - drawn), style=_COLOURS[number])
        drawn = end
    if not drawn and bar.height:
        line.append("▏", style="dim")
    return line


def as_svg(chart: Chart) -> str:
    """The chart as an SVG document that needs nothing else; each part tells its value when it is pointed at."""
    size = f"viewBox='0 0 {_WIDTH} {_HEIGHT}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img' aria-label='{_attribute(chart.title)}'>",
        f"<rect width='{_WIDTH}' height='{_HEIGHT}' fill='#ffffff'/>",
        _words(_LEFT, 28, chart.title, "font-size='18' font-weight='600' fill='#1a1a1a'"),
        *_legend(chart),
        *_grid(chart),
        *_bars(chart),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _legend(chart: Chart) -> list[str]:
    parts, x = [], _LEFT
    for number, name in enumerate(chart.series):
        parts.append(f"<rect x='{x}' y='42' width='12' height='12' fill='{_COLOURS[number]}'/>")
        parts.append(_words(x + 18, 52, name, "font-size='13' fill='#404040'"))
        x += 40 + 8 * len(name)
    return parts


def _grid(chart: Chart) -> list[str]:
    parts = []
    for step in _steps(chart.top):
        y = _y(step, chart.top)
        parts.append(f"<line x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e0e0e0'/>")
        anchor = "font-size='12' fill='#606060' text-anchor='end'"
        parts.append(_words(_LEFT - 8, round(y) + 4, f"{step.normalize():,f}", anchor))
    parts.append(_words(_LEFT - 8, _TOP - 8, chart.unit, "font-size='12' fill='#606060' text-anchor='end'"))
    return parts


def _steps(top: Decimal) -> list[Decimal]:
    """Round values from 0 to the top, four to nine of them."""
    step = Decimal(10) ** (top.adjusted())
    for finer in (1, 2, 5, 10):
        if top / (step / finer) >= 4:
            step /= finer
            break
    return [step * number for number in range(int(top / step) + 1)]


def _bars(chart: Chart) -> list[str]:
    parts = []
    place = (_WIDTH - _LEFT - _RIGHT) / max(1, len(chart.bars))
    for number, bar in enumerate(chart.bars):
        x, upto = _LEFT + place * number + place * 0.15, Decimal(0)
        for colour, name, part in zip(_COLOURS, chart.series, bar.parts, strict=False):
            if part <= 0:
                continue
            low, high = _y(upto, chart.top), _y(upto + part, chart.top)
            upto += part
            said = f"{bar.label}, {name}: {chart.shown(part)} {chart.unit}".rstrip()
            parts.append(
                f"<rect x='{x:.1f}' y='{high:.1f}' width='{place * 0.7:.1f}' height='{low - high:.1f}' "
                f"fill='{colour}'><title>{escape(said)}</title></rect>"
            )
        middle = round(_LEFT + place * (number + 0.5))
        words = "font-size='11' fill='#606060' text-anchor='middle'"
        parts.append(_words(middle, _HEIGHT - _BOTTOM + 18, bar.label, words))
    return parts


def _y(value: Decimal, top: Decimal) -> float:
    return _HEIGHT - _BOTTOM - float(value / top) * (_HEIGHT - _TOP - _BOTTOM)


def _words(x: float, y: float, text: str, style: str) -> str:
    return f"<text x='{x}' y='{y}' {_FONT} {style}>{escape(text)}</text>"


def _attribute(text: str) -> str:
    return escape(text, {"'": "&apos;"})
