"""Reads the messages of a session as hostile input. Values with a wrong type or beyond their bounds are rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlm.repl.protocol import CellStatus, OutputCut, ReplError

_MAX_NAMES = 500
_MAX_NAME_CHARS = 200
_MAX_REASON_CHARS = 500
_STATUSES = (CellStatus.OK, CellStatus.ERROR, CellStatus.SYNTAX_ERROR, CellStatus.MEMORY)


class ProtocolError(Exception):
    """A session sent an invalid message, and is ended."""


def cell_result(message: Mapping[str, Any], max_chars: int, kept: OutputCut = "head_tail") -> dict[str, Any]:
    """Read the fields of a CellResult from the message `done`. Raises ProtocolError."""
    status = message.get("status")
    if status not in _STATUSES:
        raise ProtocolError("unknown status of a cell")
    error, error_type = message.get("error"), message.get("error_type")
    if error_type is not None and not isinstance(error_type, str):
        raise ProtocolError("malformed error_type")
    stdout, stdout_chars = _output(message.get("stdout"), max_chars, kept)
    stderr, stderr_chars = _output(message.get("stderr"), max_chars, kept)
    return {
        "status": CellStatus(status),
        "stdout": stdout,
        "stdout_chars": stdout_chars,
        "stderr": stderr,
        "stderr_chars": stderr_chars,
        "error": None if error is None else _output(error, max_chars)[0],
        "error_type": None if error_type is None else well_formed(error_type[:_MAX_NAME_CHARS]),
        "variables": _variables(message.get("variables")),
        "final": message.get("final") is True and status == CellStatus.OK,
    }


def cut(head: str, tail: str, chars: int, limit: int, kept: OutputCut = "head_tail") -> str:
    """Shorten a text of `chars` characters, given as head and tail, to at most `limit` characters.

    A line states how many characters are missing. kept: `head_tail` gives equal shares to both ends, `head` gives all
    to the beginning.
    """
    # Shortened first, because a hostile session can send much more than `limit` characters.
    head, tail = well_formed(head[:limit]), well_formed(tail[max(0, len(tail) - limit) :])
    if chars <= limit:
        return head[:limit]
    tail = tail or head
    room = max(0, limit - len(_cut_line(chars)))
    end = room // 2 if kept == "head_tail" else 0
    first = head[: room - end]
    last = tail[len(tail) - min(len(tail), end) :] if end else ""
    return (first + _cut_line(chars - len(first) - len(last)) + last)[:limit]


def well_formed(text: str) -> str:
    """Replace lone surrogates in a text, because models and files do not accept them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def names_of(message: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the variable names in the message `failed`."""
    names = message.get("names")
    if not isinstance(names, list):
        return ()
    return tuple(well_formed(name[:_MAX_NAME_CHARS]) for name in names[:_MAX_NAMES] if isinstance(name, str))


def reason_of(message: Mapping[str, Any]) -> str:
    """Read the reason in a message of a session that failed or was refused."""
    return well_formed(str(message.get("message"))[:_MAX_REASON_CHARS])


def size_of(message: Mapping[str, Any] | None) -> int:
    """Read the size in bytes of a value that the session can copy. Raises ReplError."""
    if message is None:
        raise ReplError("the session did not return the value in time")
    size = message.get("size")
    if type(size) is not int or size < 0:
        raise ReplError("the session returned no size for the value")
    return size


def _cut_line(chars: int) -> str:
    return f"\n[... {chars} characters cut ...]\n"


def _output(value: Any, limit: int, kept: OutputCut = "head_tail") -> tuple[str, int]:
    if not isinstance(value, list) or [type(part) for part in value] != [str, str, int]:
        raise ProtocolError("malformed output")
    head, tail, chars = value
    if not len(head) <= chars < 1 << 62:
        raise ProtocolError("output of an impossible length")
    # Shortened first, because a hostile session can send much more than `limit` characters.
    whole = chars <= len(head) + len(tail)
    head, tail = head[:limit], tail[max(0, len(tail) - limit) :]
    return cut(head, head + tail if whole else tail, chars, limit, kept), chars


def _variables(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MAX_NAMES:
        raise ProtocolError("malformed variables")
    for name, kind in value.items():
        if not isinstance(kind, str) or len(kind) > _MAX_NAME_CHARS or len(name) > _MAX_NAME_CHARS:
            raise ProtocolError("malformed variables")
    return {well_formed(name): well_formed(kind) for name, kind in value.items()}
