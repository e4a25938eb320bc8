"""Reads the step in a root's reply: cells to run, a final answer, or a reminder if the reply lacks both."""

from __future__ import annotations

import ast
import re
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from rlm.methods.fences import Reading, closing_parenthesis, read_fences
from rlm.methods.thinking import after_thinking
from rlm.syntax import MAX_CELL_CHARS, literal_value, parsed_expression


class AnswerProtocol(StrEnum):
    """The form of the root's answer: FINAL(...) and FINAL_VAR(...), or `answer["ready"] = True` in code."""

    FINAL_TAGS = "final_tags"
    ANSWER_VARIABLE = "answer_variable"


class Reason(StrEnum):
    """The reason for a reminder. A prompt file has a part `remind_REASON` for each reason."""

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
    """FINAL(...). name: the text is one bare word, so it may be a variable's name.

    closed: the parenthesis is closed.
    """

    text: str
    name: bool = False
    closed: bool = True


@dataclass(frozen=True)
class FinalVariable:
    """FINAL_VAR(name). closed: the parenthesis is closed."""

    name: str
    closed: bool = True


@dataclass(frozen=True)
class Reminder:
    """The reply has no code and no answer. last_final: the last of several final answers."""

    reason: Reason
    last_final: FinalText | FinalVariable | None = field(default=None, compare=False)


Final = FinalText | FinalVariable | Reminder


@dataclass(frozen=True)
class Cells:
    """Code to run in order. final: the final answer in the same reply, if any; cut: the end of the reply is missing."""

    codes: tuple[str, ...]
    final: Final | None = None
    cut: bool = False


Step = Cells | FinalText | FinalVariable | Reminder


@dataclass(frozen=True)
class RootReply:
    """A reply of a root. text: the reply without reasoning and invented turns; prose: the text outside its code."""

    step: Step
    text: str
    prose: str


# A tag counts at the start of a line, in Markdown emphasis or after a short label. Elsewhere it is a mere mention.
_TAG = re.compile(
    r"^[ \t]*(?:[-*>#]{1,6}[ \t]+)?(?:<\w+>)?[*_`$]{0,4}"
    r"(?i:(?:the )?(?:final )?answer(?: is)?[*_:]{0,5}[ \t]*[*_`$]{0,4})?FINAL(_VAR)? ?\(",
    re.MULTILINE,
)
# A chat template's end-of-turn mark and a comment may follow.
_BEHIND_TAG = re.compile(r"[\s*_`$.;,!]*(?:(?:<\|\w+\|>|</\w+>)\s*)*(?:(?:#|//|<-|<!--|←).*)?$")
_STRING_TOKEN = re.compile(r"\\.|\"\"\"|'''|[\"'()]|\w(?=['\"])", re.DOTALL)
_PLACEHOLDER = re.compile(
    r"[<`\s]*(?:\.\.\.|…|(?:your|the)[ _](?:final[ _])?answer(?:[ _](?:here|text|itself))?)[>`\s]*"
    r"|<\s*(?:(?:final|your|the)[ _])*(?:answer|result)(?:[ _]here)?\s*>|\{+[a-z_]\w*\}+",
    re.IGNORECASE,
)
# What begins with a digit cannot be the name of a variable, so FINAL_VAR gives the value itself.
_NUMBER = re.compile(r"[-+]?\d[^\s()]*")
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't)\b|i must decline|as an ai\b)",
    re.IGNORECASE,
)
_PLAN = re.compile(
    r"(?:(?:first|next|now|okay|ok|so|then)(?:ly)?,? )?"
    r"(?:(?:i|we)(?:'ll| will| need to| plan to|(?: am| are|'m|'re) going to)|let(?: me|'s| us)|(?:my|the) plan is)\b",
    re.IGNORECASE,
)
# The number of attempts that may scan the rest of a reply in vain is limited, which keeps parsing linear.
_MAX_LOOKS = 4
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_EXPRESSION_CHARS = 200


def read_root_reply(
    reply: str, *, protocol: str = AnswerProtocol.FINAL_TAGS, truncated: bool = False, tool_code: str | None = None
) -> RootReply:
    """Read the step of a reply. Never raises; takes time linear in the reply's length.

    truncated: the reply was cut at the limit on output tokens, so its last block may be incomplete. tool_code: Python
    in a tool call of the reply, which is run after the blocks. If the reply has both code and an answer, the answer is
    in `Cells.final`.
    """
    reading = read_fences(after_thinking(reply, truncated=truncated))
    text = reading.own.strip()
    codes = tuple(block.text for block in reading.cells if block.closed or not truncated)
    if tool_code and tool_code.strip() and tool_code not in codes:
        codes += (tool_code,)
        text = f"{text}\n\n```repl\n{tool_code}\n```".strip()
    final = find_final(reading.text) if protocol == AnswerProtocol.FINAL_TAGS else None
    if codes:
        return RootReply(Cells(codes, final, cut=truncated), text, reading.text.strip())
    return RootReply(final or Reminder(_lack(reading, text, truncated)), text, text)


def _lack(reading: Reading, text: str, truncated: bool) -> Reason:
    if truncated:
        return Reason.CUT
    if not text:
        return Reason.EMPTY
    if _REFUSAL.search(text.replace("’", "'")):
        return Reason.REFUSAL
    return Reason.OTHER_LANGUAGE if any(block.label and block.text for block in reading.blocks) else Reason.NO_CODE


def find_final(text: str) -> Final | None:
    """Find the final answer in a text without blocks; None if there is none.

    FINAL(...) extends to its closing parenthesis. If it has none and is in the last paragraph, it extends to the end of
    the text. Different answers in one reply are rejected by a Reminder.
    """
    found: list[Final] = []
    at, open_tags = 0, 0
    while len(found) < 2 and open_tags < _MAX_LOOKS and (tag := _TAG.search(text, at)):
        at, final = _read_tag(text, tag)
        open_tags += final is None
        found += [final] if final is not None and final not in found else []
    if len(found) < 2:
        return found[0] if found else None
    last = _read_tag(text, deque(_TAG.finditer(text, at), 1).pop())[1] if _TAG.search(text, at) else found[-1]
    return Reminder(Reason.SEVERAL_FINALS, None if isinstance(last, Reminder) else last)


def _read_tag(text: str, tag: re.Match[str]) -> tuple[int, Final | None]:
    """Return the position after a tag and its answer; None if the tag is only mentioned."""
    stop, closed = _end_of_final(text, tag.end())
    if stop is None:
        return tag.end(), None
    return stop, _final(text[tag.end() : stop].strip(), variable=bool(tag[1]), closed=closed)


def _end_of_final(text: str, start: int) -> tuple[int | None, bool]:
    """Return the end of the text in a tag, and True if a parenthesis closes it; None if the tag is only mentioned."""
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
    """Return the position of the parenthesis that closes a tag; parentheses inside quotes do not count."""
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
        if literal is None and _NUMBER.fullmatch(name):
            return FinalText(name, closed=closed)
        return FinalText(literal) if literal is not None else Reminder(Reason.NOT_A_NAME)
    if _PLACEHOLDER.fullmatch(plain) or (literal is None and inside[:2].lower() in ('f"', "f'") and "{" in inside):
        return Reminder(Reason.UNFILLED_FINAL)
    word = plain[1:-1] if literal is None and plain[:1] == plain[-1:] == "`" else plain
    is_name = literal is None and word.isidentifier()
    return FinalText(word if is_name else plain, name=is_name, closed=closed)


def expression_names(text: str) -> tuple[str, ...]:
    """Return the names in a text that is a Python call, subscript or attribute; empty for any other text."""
    tree = parsed_expression(text) if len(text) <= _EXPRESSION_CHARS else None
    if tree is None or not isinstance(tree.body, ast.Call | ast.Subscript | ast.Attribute):
        return ()
    return tuple(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))


def is_plan(text: str) -> bool:
    """True if an answer begins like a plan, which models give in place of an answer."""
    return _PLAN.match(text.replace("’", "'")) is not None


def _string_literal(text: str) -> str | None:
    quote, inside = text[:1], text[1:-1]
    if quote not in ("'", '"') or len(text) < 2 or text[-1] != quote or len(text) > MAX_CELL_CHARS:
        return None
    try:
        value = literal_value(text)
    except ValueError:
        # Quotes around several lines or around an apostrophe are not valid Python, but still count as quotes.
        value = None if quote in _APOSTROPHE.sub("", inside) else inside
    return value if isinstance(value, str) else None
