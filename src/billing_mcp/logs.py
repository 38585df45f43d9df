"""Owns logging: lines on standard error, so that standard output carries nothing but answers."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Literal, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from billing_mcp.domain.card_numbers import MIN_DIGITS, redacted, without

LogFormat = Literal["text", "json"]
"""Lines for people, or an object of JSON on each line."""

about: ContextVar[Callable[[], Mapping[str, str]] | None] = ContextVar("billing_mcp.about", default=None)
"""Tells what the lines belong to that are logged from here on: a request's id, whose it is, its execution."""

_MAX_LINKS = 10
_NUMBERS = frozenset({bool, int, float})
_SMALL = 10 ** (MIN_DIGITS - 1)
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def trace(error: BaseException | None) -> str:
    """The types of an exception and of what led to it, each with its places, and no text of any.

    A text may hold what no log may: a statement with its values, an address, a name, a script.
    """
    links: list[str] = []
    while error is not None and len(links) < _MAX_LINKS:
        places = "".join(traceback.format_tb(error.__traceback__))
        links.append(f"{type(error).__module__}.{type(error).__qualname__} at\n{places}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "because of ".join(links)


def _trace(exc_info: ExcInfo) -> str:
    return trace(exc_info[1])


def without_card_numbers(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take card numbers out of all that a line tells: what a client sends may be in it, a request's id for one."""
    for name, value in event.items():
        if value.__class__ is str:
            if len(value) >= MIN_DIGITS:
                event[name] = redacted(value)
        elif value.__class__ not in _NUMBERS or not -_SMALL < value < _SMALL:
            event[name] = _told(value)
    return event


def _told(value: object) -> object:
    """A value without card numbers; of what is no JSON its text, if there is one in it."""
    if isinstance(value, str | int | float | Decimal | dict | list | tuple):
        return without(value)
    text = repr(value)
    shown = redacted(text)
    return value if shown == text else shown


class _Formatter(logging.Formatter):
    """What libraries log, with the same traces and without card numbers."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))

    def formatException(  # noqa: N802 - the name is logging's
        self, ei: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
    ) -> str:
        return trace(ei[1])


class _JSONFormatter(logging.Formatter):
    """The same as an object of JSON, with the keys of our own lines."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **_belonging(),
        }
        if record.exc_info:
            line["exception"] = trace(record.exc_info[1])
        return json.dumps(without(line))


def configure_logs(
    *, level: int = logging.WARNING, libraries: int | None = None, log_format: LogFormat = "text"
) -> None:
    """Send all logs of the process to standard error, without the values of variables.

    `level` is for what we log ourselves, and for libraries too unless `libraries` says otherwise.
    """
    as_json = log_format == "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONFormatter() if as_json else _Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level if libraries is None else libraries, handlers=[handler], force=True)
    renderer: Processor = structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    structlog.configure(
        processors=[
            _belong,
            structlog.processors.ExceptionRenderer(_trace),
            without_card_numbers,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_json) if as_json else renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lines(sys.stderr))),
    )


def _json(event: EventDict, **_: object) -> str:
    return _encode(event).decode()


def _belonging() -> Mapping[str, str]:
    tell = about.get()
    return {} if tell is None else tell()


def _belong(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    tell = about.get()
    if tell is None:
        return structlog.contextvars.merge_contextvars(logger, method, event)
    for name, value in tell().items():
        event.setdefault(name, value)
    return event


class _Lines:
    """A stream that is written to once for all lines of a moment: to write each takes longer than to make it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._due = False
        atexit.register(self._write_all)

    def write(self, line: str) -> None:
        """Take a line."""
        self._lines.append(line)

    def flush(self) -> None:
        """Write what was taken: at once, or where a loop runs, once it has done what it is at."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_all()
            return
        if not self._due:
            self._due = True
            loop.call_soon(self._write_all)

    def _write_all(self) -> None:
        self._due = False
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write("".join(lines))
            self._stream.flush()
