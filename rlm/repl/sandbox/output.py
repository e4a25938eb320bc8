"""A text stream that keeps only the head and the tail of its text."""

from __future__ import annotations

import io


class Output(io.TextIOBase):
    """Replaces sys.stdout and sys.stderr; its memory is bounded by `keep` characters of head and of tail."""

    encoding = "utf-8"
    errors = "surrogatepass"

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._reset()

    def _reset(self) -> None:
        self.chars = 0
        self._head: list[str] = []
        self._tail: list[str] = []
        self._head_room = self._tail_room = self._keep

    def writable(self) -> bool:
        return True

    def reconfigure(self, **_: object) -> None:
        """Do nothing: text is kept unencoded."""

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if not text:
            return 0
        size = len(text)
        self.chars += size
        if size <= self._head_room:
            self._head.append(text)
            self._head_room -= size
            return size
        rest = text[self._head_room :][-self._keep :] if self._keep else ""
        if self._head_room:
            self._head.append(text[: self._head_room])
            self._head_room = 0
        self._tail.append(rest)
        self._tail_room -= len(rest) + 1
        if self._tail_room < -4 * self._keep:
            self._tail = ["".join(self._tail)[-self._keep :]]
            self._tail_room = 0
        return size

    def take(self) -> tuple[str, str, int]:
        """Head, tail and the number of characters written since the last call; the stream is empty afterwards."""
        head, tail, chars = "".join(self._head), "".join(self._tail), self.chars
        self._reset()
        return head, tail[-self._keep :] if self._keep else "", chars
