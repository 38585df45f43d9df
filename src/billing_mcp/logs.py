"""Owns logging: lines on standard error, so that standard output carries nothing but answers."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

import structlog
from structlog.typing import ExcInfo

_MAX_LINKS = 10


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


class _Formatter(logging.Formatter):
    """What libraries log, with the same traces."""

    def formatException(  # noqa: N802 - the name is logging's
        self, ei: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
    ) -> str:
        return trace(ei[1])


def configure_logs(*, level: int = logging.WARNING) -> None:
    """Send all logs of the process to standard error, without the values of variables."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_trace),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
