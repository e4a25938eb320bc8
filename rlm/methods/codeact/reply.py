"""The parts of a reply in a CodeAct loop: cells to run, searches and answers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlm.methods.fences import closing_parenthesis, read_fences
from rlm.methods.thinking import after_thinking

_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
_LEAD = r"^[ \t]*(?:[-*>#]{1,6}[ \t]+)?[*_`]{0,3}"
# The beginning of a harness turn that the model has invented. `User: 44436` is an answer and not a turn.
_INVENTED = re.compile(
    _LEAD + r"(?:observations?|(?:search|execution|code|python) (?:results?|output)"
    r"|(?:user|human)(?![*_ ]{0,3}:[*_`\[ ]*\d))[*_ ]{0,3}:"
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
# The form in which some questions ask for the answer, as in `Answer: X is more common than Y`.
# `Final Answer:` is a form too; `Exact Answer:` is another field.
_FORM = re.compile(r"(?P<label>\b[A-Z]\w* )?\b(?P<mark>[Aa]nswer:|ANSWER:)")
_FINAL = "Final "
_LABELLED = re.compile(rf"(?:{_FINAL})?\w+:")
_MAX_SEARCHES = 8
# The number of calls without a closing parenthesis that may scan the rest of a text keeps parsing linear.
_MAX_LOOKS = 4


@dataclass(frozen=True)
class Turn:
    """The parts of a reply.

    text: the reply without reasoning and without invented turns; prose: the text outside its code. cells, searches: the
    actions, in order. answers: the different answers of the reply; an answer beside an action does not count.
    complete: the reply was not cut at the limit on output tokens. tool_code: the last cell, if it came in a tool call.
    misplaced: the text comes from the reply's reasoning.
    """

    text: str
    prose: str = ""
    cells: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    complete: bool = True
    tool_code: str | None = None
    misplaced: bool = False

    @property
    def acts(self) -> bool:
        return bool(self.cells or self.searches)


def answer_form(question: str) -> str | None:
    """Return the mark that the question requires before the answer, such as `Answer:`, or None."""
    found = ((found["label"] or "", found["mark"]) for found in _FORM.finditer(question))
    return next((label + mark for label, mark in found if label in ("", _FINAL)), None)


def read_turn(reply: str, *, truncated: bool = False, form: str | None = None, tool_code: str | None = None) -> Turn:
    """Split a reply into its parts. Never raises.

    truncated: the reply was cut at the limit on output tokens. form: see `answer_form`; answers keep it. tool_code:
    Python in a tool call of the reply, which is run after the blocks.
    """
    text = _without_invented(after_thinking(reply, truncated=truncated))
    reading = read_fences(text)
    cells, searches = [], []
    for block in reading.cells:
        if not block.closed and truncated:
            continue
        found = _searches(_search_lines(block.text))
        searches.extend(found)
        if not found:
            cells.append(block.text)
    if tool_code and tool_code.strip() and tool_code not in cells:
        cells.append(tool_code)
        text = f"{text.rstrip()}\n\n```python\n{tool_code}\n```"
    searches.extend(_searches(reading.text))
    answers = tuple(dict.fromkeys(_answers(reading.text, form)))
    made = tuple(dict.fromkeys(searches))[:_MAX_SEARCHES]
    return Turn(text.strip(), reading.text.strip(), tuple(cells), made, answers, not truncated, tool_code)


def last_words(turn: Turn) -> tuple[str | None, bool]:
    """Return the answer of a forced last reply, and True if it is untagged: prose without the mark of an answer."""
    given = [answer for answer in turn.answers if answer]
    if given:
        return given[-1], False
    if turn.answers or (turn.acts and _THINK.search(turn.prose)):
        return None, False
    outside = "\n".join(line for line in turn.prose.split("\n") if not _SEARCH.match(line)).strip()
    text = outside if turn.acts else _THINK.sub("", turn.text, count=1).strip()
    return (text, True) if text and not text.startswith("```") else (None, False)


def _without_invented(reply: str) -> str:
    # A line inside a fence is code or data.
    kept: list[str] = []
    fenced = False
    for line in reply.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and _INVENTED.match(line) and "".join(kept).strip():
            break
        kept.append(line)
    return "\n".join(kept)


def _search_lines(code: str) -> str:
    """Return the searches of a cell that has only searches, one per line; empty for any other cell."""
    lines = [_SEARCH_LINE.match(line) for line in code.splitlines() if line.strip()]
    return "\n".join(line[1] for line in lines if line) if all(lines) else ""


def _searches(text: str) -> list[str]:
    """Return the first _MAX_SEARCHES different queries."""
    found: dict[str, None] = {}
    looks = _MAX_LOOKS
    for call in _SEARCH.finditer(text):
        line_end = text.find("\n", call.end())
        line_end = len(text) if line_end < 0 else line_end
        stop = closing_parenthesis(text, call.end(), len(text) if looks else line_end)
        looks -= looks and stop is None
        inside = text[call.end() : stop - 1 if stop else line_end]
        query = _ARGUMENT_NAME.sub("", inside.strip(), count=1).strip().strip("\"'`“”‘’").strip()
        if query:
            found[" ".join(query.split())] = None
        if len(found) == _MAX_SEARCHES:
            break
    return list(found)


def _answers(text: str, form: str | None) -> list[str]:
    marks = list(_ANSWER.finditer(text))
    if not marks:
        marks = list(_LAX_ANSWER.finditer(text))[:1]
        # Without ANSWER, the mark belongs to the form in which the model writes the answer.
        own = answer_form(marks[0][0].replace("*", "")) if marks else None
        form = form or (None if own and own.startswith(_FINAL) else own)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    bare = (
        _bare(_THINK.split(text[mark.end() : end])[0].strip(), mark[0]) for mark, end in zip(marks, ends, strict=False)
    )
    return [f"{form} {answer}" if form and answer and not _LABELLED.match(answer) else answer for answer in bare]


def _bare(answer: str, mark: str) -> str:
    """Remove the end of an emphasis that began before the answer's mark."""
    emphasis = _EMPHASIS.search(mark)
    if emphasis is None or mark.count(emphasis[0]) != 1:
        return answer
    return answer.removesuffix(emphasis[0]).strip()
