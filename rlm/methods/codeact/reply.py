"""What a reply in a CodeAct loop asks for: cells to run, searches, an answer, or a reminder of what it lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlm.methods.fences import closing_parenthesis, read_fences
from rlm.methods.thinking import after_thinking

_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
_LEAD = r"^[ \t]*(?:[-*>#]{1,6}[ \t]+)?[*_`]{0,3}"
# How the harness's turns begin: in a reply, they were made up.
_MADE_UP = re.compile(
    _LEAD + r"(?:observations?|(?:search|execution|code|python) (?:results?|output)|user|human)[*_ ]{0,3}:"
    r"|\s*<\|(?:im_start|im_end|eot_id|end|user|assistant)\|>",
    re.IGNORECASE,
)
_SEARCH = re.compile(_LEAD + r"(?:(?:[Aa]ction|ACTION)[*_ ]{0,3}:[*_ ]{0,3})?(?:SEARCH|search)[ \t]*\(", re.MULTILINE)
_SEARCH_LINE = re.compile(r"\s*(?:\w+ = )?(?:print\()?((?:SEARCH|search)\(.*\))")
_ANSWER = re.compile(_LEAD + r"(?:FINAL )?ANSWER[*_ ]{0,3}:[*_]{0,3}", re.MULTILINE)
_LAX_ANSWER = re.compile(_ANSWER.pattern, re.MULTILINE | re.IGNORECASE)
_THINK = re.compile(_LEAD + r"THINK[*_ ]{0,3}:", re.MULTILINE)
_EMPHASIS = re.compile(r"[*_`]+(?=\w)")
_ARGUMENT_NAME = re.compile(r"query\s*=\s*")
_MAX_SEARCHES = 8


@dataclass(frozen=True)
class Turn:
    """A reply taken apart.

    text: the reply without thinking and without what it made up for the harness. cells, searches: to be done in order.
    answers: the different answers it gives; an answer beside an action does not count. whole: the reply was not cut.
    """

    text: str
    cells: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    whole: bool = True

    @property
    def acts(self) -> bool:
        return bool(self.cells or self.searches)


def read_turn(reply: str, *, truncated: bool = False) -> Turn:
    """Take a reply apart; never raises. truncated: it was cut by the limit on output tokens."""
    said = _without_made_up(after_thinking(reply, truncated=truncated))
    reading = read_fences(said)
    cells, searches = [], []
    for block in reading.cells:
        if not block.closed and truncated:
            continue
        found = _searches(_search_lines(block.text))
        searches.extend(found)
        if not found:
            cells.append(block.text)
    searches.extend(_searches(reading.text))
    answers = tuple(dict.fromkeys(_answers(reading.text)))
    return Turn(said.strip(), tuple(cells), tuple(dict.fromkeys(searches))[:_MAX_SEARCHES], answers, not truncated)


def last_words(turn: Turn) -> str | None:
    """The answer of a reply that was asked for nothing else: its last ANSWER, or all of it if it is no action."""
    given = [answer for answer in turn.answers if answer]
    if given:
        return given[-1]
    if turn.answers or turn.acts or "```" in turn.text:
        return None
    return _THINK.sub("", turn.text, count=1).strip() or None


def _without_made_up(reply: str) -> str:
    # Inside a fence such a line is code or data.
    kept, fenced = [], False
    for line in reply.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and _MADE_UP.match(line) and "".join(kept).strip():
            break
        kept.append(line)
    return "\n".join(kept)


def _search_lines(code: str) -> str:
    """The searches of a cell that does nothing else, one a line; nothing for any other cell."""
    lines = [_SEARCH_LINE.match(line) for line in code.splitlines() if line.strip()]
    return "\n".join(line[1] for line in lines) if all(lines) else ""


def _searches(text: str) -> list[str]:
    found = []
    for call in _SEARCH.finditer(text):
        line_end = text.find("\n", call.end())
        stop = closing_parenthesis(text, call.end(), len(text))
        inside = text[call.end() : stop - 1] if stop else text[call.end() : line_end if line_end >= 0 else len(text)]
        query = _ARGUMENT_NAME.sub("", inside.strip(), count=1).strip().strip("\"'`“”‘’").strip()
        if query:
            found.append(" ".join(query.split()))
    return found


def _answers(text: str) -> list[str]:
    marks = list(_ANSWER.finditer(text))
    if not marks:
        marks = list(_LAX_ANSWER.finditer(text))[:1]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        _bare(_THINK.split(text[mark.end() : end])[0].strip(), mark[0]) for mark, end in zip(marks, ends, strict=False)
    ]


def _bare(answer: str, mark: str) -> str:
    """The answer without the end of an emphasis that began before its mark."""
    emphasis = _EMPHASIS.search(mark)
    opened = emphasis is not None and mark.count(emphasis[0]) == 1
    return answer.removesuffix(emphasis[0]).strip() if opened else answer
