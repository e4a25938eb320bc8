"""What a root's reply asks for: cells to run, a final answer, or a reminder of what it lacks."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import StrEnum

from rlm.methods.fences import Reading, closing_parenthesis, read_fences
from rlm.methods.thinking import after_thinking
from rlm.syntax import literal_value, parsed_expression


class AnswerProtocol(StrEnum):
    """How the root gives its answer: FINAL(...) and FINAL_VAR(...) as published, or `answer["ready"] = True`."""

    FINAL_TAGS = "final_tags"
    ANSWER_VARIABLE = "answer_variable"


class Reason(StrEnum):
    """What a reply lacks; a prompt file has a part `remind_REASON` for each."""

    NO_CODE = "no_code"
    OTHER_LANGUAGE = "other_language"
    SEVERAL_FINALS = "several_finals"
    EMPTY_FINAL = "empty_final"
    NOT_A_NAME = "not_a_name"
    UNFILLED_FINAL = "unfilled_final"
    EMPTY = "empty"
    REFUSAL = "refusal"
    CUT = "cut"
    CUT_FINAL = "cut_final"


@dataclass(frozen=True)
class FinalText:
    """FINAL(...): its text. name: it is one bare word, so it may mean a variable; closed: its parenthesis is there."""

    text: str
    name: bool = False
    closed: bool = True


@dataclass(frozen=True)
class FinalVariable:
    """FINAL_VAR(name). closed: its parenthesis is there."""

    name: str
    closed: bool = True


@dataclass(frozen=True)
class Reminder:
    """Nothing to run and no answer."""

    reason: Reason


Final = FinalText | FinalVariable | Reminder


@dataclass(frozen=True)
class Cells:
    """Code to run in order. final: what the same reply says of an answer; cut: the reply's end was lost."""

    codes: tuple[str, ...]
    final: Final | None = None
    cut: bool = False


Step = Cells | FinalText | FinalVariable | Reminder


@dataclass(frozen=True)
class Parsed:
    """A reply read. said: what counts of it, without its thinking and without turns it made up for the harness."""

    step: Step
    said: str


# A tag counts at the start of a line, in Markdown emphasis or behind a short label: elsewhere it is talked about.
_TAG = re.compile(
    r"^[ \t]*(?:[-*>#]{1,6}[ \t]+)?(?:<\w+>)?[*_`$]{0,4}"
    r"(?i:(?:the )?(?:final )?answer(?: is)?[*_:]{0,5}[ \t]*[*_`$]{0,4})?FINAL(_VAR)? ?\(",
    re.MULTILINE,
)
# A mark of the end of a turn may follow, as chat templates write it, and a comment.
_BEHIND_TAG = re.compile(r"[\s*_`$.;,!]*(?:(?:<\|\w+\|>|</\w+>)\s*)*(?:(?:#|//|<-|<!--|←).*)?$")
_STRING_TOKEN = re.compile(r"\\.|\"\"\"|'''|[\"'()]|\w(?=['\"])", re.DOTALL)
_PLACEHOLDER = re.compile(
    r"[<`\s]*(?:\.\.\.|…|(?:your|the)[ _](?:final[ _])?answer(?:[ _](?:here|text|itself))?)[>`\s]*"
    r"|<\s*(?:(?:final|your|the)[ _])*(?:answer|result)(?:[ _]here)?\s*>|\{+[a-z_]\w*\}+",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't)\b|i must decline|as an ai\b)",
    re.IGNORECASE,
)
_PLAN = re.compile(
    r"(?:(?:first|next|now|okay|ok|so|then)(?:ly)?,? )?"
    r"(?:(?:i|we)(?:'ll| will| need to| plan to|(?: am| are|'m|'re) going to)|let(?: me|'s| us)|(?:my|the) plan is)\b",
    re.IGNORECASE,
)
# What may read the rest of a reply to no avail is tried so often and no more, which keeps parsing linear.
_MAX_LOOKS = 4
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_EXPRESSION_CHARS = 200


def parse_reply(reply: str, *, protocol: str = AnswerProtocol.FINAL_TAGS, truncated: bool = False) -> Parsed:
    """The step a reply asks for. Never raises; takes time linear in the reply's length.

    truncated: the reply was cut by the limit on output tokens, so that its last block may not be whole.
    Code goes before an answer: where both are there, the answer is in `Cells.final`, for the loop to judge.
    """
    counted = after_thinking(reply, truncated=truncated)
    reading = read_fences(counted)
    said = reading.said.strip()
    codes = tuple(block.text for block in reading.cells if block.closed or not truncated)
    final = find_final(reading.text) if protocol == AnswerProtocol.FINAL_TAGS else None
    if codes:
        return Parsed(Cells(codes, final, cut=truncated), said)
    return Parsed(final or Reminder(_lack(reading, said, truncated)), said)


def _lack(reading: Reading, said: str, truncated: bool) -> Reason:
    if truncated:
        return Reason.CUT
    if not said:
        return Reason.EMPTY
    if _REFUSAL.search(said.replace("’", "'")):
        return Reason.REFUSAL
    return Reason.OTHER_LANGUAGE if any(block.label and block.text for block in reading.blocks) else Reason.NO_CODE


def find_final(text: str) -> Final | None:
    """The one final answer in the text of a reply, without its blocks; None where there is none.

    FINAL(...) reaches to its own closing parenthesis. Without one it reaches to the end of the text if it stands in the
    last paragraph. Different answers in one reply are none.
    """
    found: list[Final] = []
    at, open_tags = 0, 0
    while len(found) < 2 and open_tags < _MAX_LOOKS and (tag := _TAG.search(text, at)):
        at = tag.end()
        stop, closed = _end_of_final(text, tag.end())
        if stop is None:
            open_tags += 1
            continue
        final = _final(text[tag.end() : stop].strip(), variable=bool(tag[1]), closed=closed)
        at = stop
        if final not in found:
            found.append(final)
    if len(found) > 1:
        return Reminder(Reason.SEVERAL_FINALS)
    return found[0] if found else None


def _end_of_final(text: str, start: int) -> tuple[int | None, bool]:
    """Where the inside of a tag ends, and whether a parenthesis closes it; None where the tag is only talked about."""
    stop = _quoted_close(text, start)
    if stop is not None and _ends_line(text, stop + 1):
        return stop, True
    behind = closing_parenthesis(text, start, len(text))
    if behind is not None:
        if _ends_line(text, behind):
            return behind - 1, True
        last = text.rstrip(" \t\n*_`$.;")
        if last.endswith(")") and _more_closed_than_opened(text, behind, len(last)):
            return len(last) - 1, True
        return None, True
    last = text.rstrip()
    if "\n\n" in last[start:]:
        return None, False
    return (len(last) - 1, True) if last.endswith(")") else (len(last), False)


def _quoted_close(text: str, start: int) -> int | None:
    """The parenthesis that closes a tag, those inside quotes left out."""
    depth, quote = 1, ""
    for token in _STRING_TOKEN.finditer(text, start):
        mark = token[0]
        if quote:
            quote = "" if mark == quote else quote
        elif mark[0] in "\"'" and (token.start() == start or text[token.start() - 1] in " \t\n([{,:="):
            quote = mark
        elif mark in "()":
            depth += 1 if mark == "(" else -1
            if depth == 0:
                return token.start()
    return None


def _more_closed_than_opened(text: str, start: int, stop: int) -> bool:
    return text.count(")", start, stop) > text.count("(", start, stop)


def _ends_line(text: str, position: int) -> bool:
    stop = text.find("\n", position)
    return _BEHIND_TAG.match(text[position : len(text) if stop < 0 else stop]) is not None


def _final(inside: str, *, variable: bool, closed: bool) -> Final:
    literal = _string_literal(inside)
    plain = inside if literal is None else literal.strip()
    if not plain.strip("*_` "):
        return Reminder(Reason.EMPTY_FINAL)
    if variable:
        name = plain.strip("*` ")
        if name.isidentifier():
            return FinalVariable(name, closed)
        return FinalText(literal) if literal is not None else Reminder(Reason.NOT_A_NAME)
    if _PLACEHOLDER.fullmatch(plain) or (literal is None and inside[:2].lower() in ('f"', "f'") and "{" in inside):
        return Reminder(Reason.UNFILLED_FINAL)
    word = plain[1:-1] if literal is None and plain[:1] == plain[-1:] == "`" else plain
    name = literal is None and word.isidentifier()
    return FinalText(word if name else plain, name=name, closed=closed)


def expression_names(text: str) -> tuple[str, ...]:
    """The names in a text that is a call, a subscript or an attribute in Python; none for any other text."""
    tree = parsed_expression(text) if len(text) <= _EXPRESSION_CHARS else None
    if tree is None or not isinstance(tree.body, ast.Call | ast.Subscript | ast.Attribute):
        return ()
    return tuple(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))


def is_plan(text: str) -> bool:
    """Whether an answer begins like a plan of what to do, which models give in its place."""
    return _PLAN.match(text.replace("’", "'")) is not None


def _string_literal(text: str) -> str | None:
    quote, inside = text[:1], text[1:-1]
    if quote not in ("'", '"') or len(text) < 2 or text[-1] != quote or len(text) > 1_000_000:
        return None
    try:
        value = literal_value(text)
    except ValueError:
        # Quotes around several lines or around an apostrophe are no Python, and quotes all the same.
        value = None if quote in _APOSTROPHE.sub("", inside) else inside
    return value if isinstance(value, str) else None
