"""Parsing of a judge's reply, as the official parser of BrowseComp-Plus reads it wherever that is safe.

The official parser takes the first `correct:` or `confidence:` anywhere in a reply. It is not followed in these cases,
in which it reads a verdict that the judge has not given:

- The verdict is part of another word, as in `incorrect: no` and `correct: yesterday`, or negated (`not correct: yes`).
- The reply repeats the form (`correct: yes or no`).
- It gives both verdicts. One at the start of a line has precedence over one within a line, which may be a quotation.
- The verdict is in the judge's thoughts (`<think>`).

Beyond the official parser, markup around a field's name and value is ignored, as in `"correct": "yes"`.
"""

from __future__ import annotations

import re

from benchmarks.sample import Judgement

# Quantifiers of spaces and marks are possessive, so that floods are read in linear time.
_MARKS = r"[\s*_\"'`]*+"
_LINE = r"(?:^[ \t>*_\"'`#-]*+)"


def _field(name: str, value: str) -> re.Pattern[str]:
    # The first group is empty unless the field begins a line.
    return re.compile(rf"({_LINE})?+(?<![a-z]){name}[ \t*_\"'`]*+:{value}", re.IGNORECASE | re.MULTILINE)


_CORRECT = _field("correct", rf"{_MARKS}(yes|no)(?!\w)(?!\s*(?:/|\||or\s+)\s*[\"'`]?(?:yes|no)\b)")
_CONFIDENCE = _field("confidence", rf"{_MARKS}(\d+(?:\.\d+)?)")
_EXTRACTED = _field("extracted_final_answer", r"([^\n]*)")
_REASONING = _field("reasoning", r"([^\n]*)")
_NEGATION = re.compile(r"\b(?:not|in|un)[\s_-]?$", re.IGNORECASE)
_NEXT_FIELD = re.compile(
    r"(?<![\s*_\"'`,;])[\s*_\"'`,;]++(?:\[?correct_answer\]?|reasoning|correct|confidence)[*_\"'`]*+:", re.IGNORECASE
)


def parse_judgement(reply: str) -> Judgement:
    """The fields of a judge's reply; `correct` is None if it has no verdict."""
    # A chat template may have opened the tag. Thoughts that were cut off have no verdict after them.
    opened, _, text = reply.rpartition("</think>")
    text = "" if not opened and text.lstrip().startswith("<think>") else text
    verdicts = {found.lower() for found in _values(_CORRECT, text)}
    confidence = _values(_CONFIDENCE, text)
    return Judgement(
        correct=verdicts == {"yes"} if len(verdicts) == 1 else None,
        extracted=_text(_EXTRACTED, text),
        reasoning=_text(_REASONING, text),
        confidence=min(float(confidence[0]), 100.0) if confidence else None,
        reply=reply,
    )


def _values(pattern: re.Pattern[str], text: str) -> list[str]:
    """The values of a field: those of fields that begin a line or, if there are none, those within lines."""
    found = list(pattern.finditer(text))
    leading = [match.group(2) for match in found if match.group(1) is not None]
    within = [match for match in found if match.group(1) is None]
    return leading or [m.group(2) for m in within if not _NEGATION.search(text[max(0, m.start() - 9) : m.start()])]


def _text(pattern: re.Pattern[str], text: str) -> str:
    """The value of a text field, up to the next field on the same line."""
    values = _values(pattern, text)
    if not values:
        return ""
    following = _NEXT_FIELD.search(values[0])
    value = values[0][: following.start()] if following else values[0]
    return value.strip(" \t\r*_\"'`,.")
