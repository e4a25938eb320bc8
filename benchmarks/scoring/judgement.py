"""Parses a judge's reply like the official parser of BrowseComp-Plus, except in unsafe cases.

The official parser takes the first `correct:` or `confidence:` anywhere in a reply. This parser deviates in these
cases, in which the official one reads a verdict that the judge has not given:

- The verdict is part of another word, as in `incorrect: no` and `correct: yesterday`, or negated (`not correct: yes`).
- The reply repeats the form (`correct: yes or no`).
- The reply gives both verdicts. One at the start of a line has precedence over one within a line (perhaps a quotation).
- The verdict is in the judge's thoughts (`<think>`).

Beyond the official parser, the fields are also read from a JSON object, a table and XML elements; marks around a
field's name and value are ignored, as in `correct: [yes]`; and `true` and `false` are verdicts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.sample import Judge, Judgement

_FIELDS = ("extracted_final_answer", "reasoning", "correct", "confidence")

# Quantifiers of spaces and marks are possessive, so that floods are parsed in linear time.
_LINE = r"(?:^[ \t>*_\"'`#(\[{|•·–-]*+(?:(?:\d{1,2}[.):]?|[a-z][.)])[ \t*_\"'`]++)?+)"
_SEPARATOR = r"[ \t*_\"'`?\])]*+(?:[:=|→]|->)"
_YES, _NO = ("yes", "true"), ("no", "false")
_VERDICT = "(?:" + "|".join(_YES + _NO) + ")"


def _field(name: str, value: str) -> re.Pattern[str]:
    # The first group is empty unless the field is at the start of a line.
    return re.compile(rf"({_LINE})?+(?<![a-z]){name}{_SEPARATOR}{value}", re.IGNORECASE | re.MULTILINE)


_CORRECT = _field(
    "correct",
    rf"[\W_]*+(?:(?:boxed|text){{[\W_]*+)*+({_VERDICT})(?!\w*[^\W_])"
    rf"(?![\"'`*_\])]*+\s*+(?:/|\||or\s)[\s\"'`*_\[(]*+{_VERDICT}\b)",
)
_CONFIDENCE = _field("confidence(?:[ _](?:score|level))?", r"[\s*_\"'`:=|\[({<~≈$>]*+(?:- )?(\d+(?:\.\d+)?)")
_EXTRACTED = _field("extracted_final_answer", r"([^\n]*)")
_REASONING = _field("reasoning", r"([^\n]*)")
_NEGATION = re.compile(r"\b(?:not|in|un)[\s_-]?$", re.IGNORECASE)
_NEXT_FIELD = re.compile(
    r"(?<![\s*_\"'`,;])[\s*_\"'`,;]++(?:\[?correct_answer\]?|reasoning|correct|confidence)[*_\"'`]*+:", re.IGNORECASE
)
# Colons of other scripts, non-ASCII spaces, and characters without a width.
_SAME = str.maketrans("：﹕︓꞉\u00a0\u3000\u202f", "::::   ", "\u200b\u200c\u200d\u2060\ufeff")
_ELEMENT = re.compile(rf"<({'|'.join(_FIELDS)})>", re.IGNORECASE)
_TABLE = re.compile(r"^[ \t]*\|([^\n]+)\|[ \t]*\n[ \t]*\|[ \t:|-]+\|[ \t]*\n[ \t]*\|([^\n]+)\|[ \t]*$", re.MULTILINE)


def parse_judgement(reply: str) -> Judgement:
    """Parse the fields of a judge's reply; `correct` is None if it has no verdict."""
    # A chat template may have opened the tag. If the thoughts were cut off, no verdict follows.
    opened, _, text = reply.rpartition("</think>")
    text = "" if not opened and text.lstrip().startswith("<think>") else _as_lines(text.translate(_SAME))
    verdicts = {found.lower() in _YES for found in _values(_CORRECT, text)}
    confidence = _values(_CONFIDENCE, text)
    return Judgement(
        correct=verdicts.pop() if len(verdicts) == 1 else None,
        extracted=_text(_EXTRACTED, text),
        reasoning=_text(_REASONING, text),
        confidence=min(float(confidence[0]), 100.0) if confidence else None,
        reply=reply,
    )


def _as_lines(text: str) -> str:
    """Rewrite fields of JSON objects, tables and XML elements in a reply as lines `name: value`."""
    found = _object(text)
    if found is not None:
        return "\n".join(_lines(found))
    return _ELEMENT.sub(r"\n\1: ", _TABLE.sub(_row_as_lines, text))


def _object(text: str) -> Mapping[str, object] | None:
    """Return the JSON object of a reply, if it has a field."""
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1], strict=False) if 0 <= start < end else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and any(key.lower() in _FIELDS for key in found) else None


def _lines(found: Mapping[str, object]) -> Iterator[str]:
    for name, value in found.items():
        yield f"{name}: {' '.join(str(value).split())}"


def _row_as_lines(table: re.Match[str]) -> str:
    names, values = ([cell.strip(" \t*_`") for cell in row.split("|")] for row in table.groups())
    if "correct" not in map(str.lower, names):
        return table[0]
    return "\n".join(f"{name}: {value}" for name, value in zip(names, values, strict=False))


async def judged_score(
    judge: Judge, question: str, response: str, correct: str, **more: str
) -> tuple[float, dict[str, Any]]:
    """Return 1.0 if the judge calls a response correct, else 0.0, and the details of the judgement.

    An empty response is wrong and not judged. A reply without a verdict counts as wrong and sets `judge_unparsed`.
    more: further texts for the judge, such as a rubric.
    """
    details: dict[str, Any] = {
        "judged_by": "judge", "judge_verdict": None, "judge_unparsed": False, "judge_confidence": None,
    }  # fmt: skip
    if not response.strip():
        return 0.0, details
    judgement = await judge(question, response, correct, **more)
    details["judge_verdict"] = {True: "yes", False: "no", None: "unparsed"}[judgement.correct]
    details["judge_unparsed"] = judgement.correct is None
    details["judge_confidence"] = judgement.confidence
    return float(judgement.correct is True), details


def _values(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return the values of a field: those at the start of lines or, if there are none, those within lines."""
    found = list(pattern.finditer(text))
    leading = [match.group(2) for match in found if match.group(1) is not None]
    within = [match for match in found if match.group(1) is None]
    return leading or [m.group(2) for m in within if not _NEGATION.search(text[max(0, m.start() - 9) : m.start()])]


def _text(pattern: re.Pattern[str], text: str) -> str:
    """Return the value of a text field, up to the next field on the same line."""
    values = _values(pattern, text)
    if not values:
        return ""
    following = _NEXT_FIELD.search(values[0])
    value = values[0][: following.start()] if following else values[0]
    return value.strip(" \t\r*_\"'`,.")
