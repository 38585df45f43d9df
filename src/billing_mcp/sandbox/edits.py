"""Owns changing the text of a script at places of its syntax tree, so that every line keeps its number."""

from __future__ import annotations

import ast

Node = ast.stmt | ast.expr | ast.keyword


class Edits:
    """Small changes of a text, applied at once. They nest as their nodes do, in whatever order they come."""

    def __init__(self, text: str) -> None:
        self._data = text.encode("utf-8", "replace")
        self._starts = [0]
        for line in self._data.split(b"\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._edits: list[tuple[int, tuple[int, int, int], int, bytes]] = []
        self._tail = ""

    def text_of(self, node: Node) -> str:
        """The text of a node."""
        start, end = self._span(node)
        return self._data[start:end].decode("utf-8", "replace")

    def wrap(self, node: Node, before: str, after: str, *, instead_of: str = "") -> None:
        """Put text around a node; `before` replaces the keyword with which the node starts."""
        start, end = self._span(node)
        # At one place what ends is closed before anything opens; of two nodes the larger opens first, and closes last.
        self._add(start, (1, -end, len(self._edits)), start + len(instead_of), before)
        self._add(end, (0, -start, -len(self._edits)), end, after)

    def replace(self, node: Node, text: str) -> None:
        """Replace a node."""
        start, end = self._span(node)
        self._add(start, (1, -end, len(self._edits)), end, text)

    def append(self, text: str) -> None:
        """Put text at the very end."""
        self._tail += text

    def apply(self) -> str:
        """The text with all edits."""
        parts: list[bytes] = []
        position = 0
        for start, _, end, text in sorted(self._edits):
            parts += [self._data[position:start], text]
            position = end
        parts.append(self._data[position:])
        return b"".join(parts).decode("utf-8", "replace") + self._tail

    def _add(self, start: int, rank: tuple[int, int, int], end: int, text: str) -> None:
        self._edits.append((start, rank, end, text.encode()))

    def _span(self, node: Node) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[end_line - 1] + end_column
