"""Finds the number that an answer states, and compares numbers with a tolerance."""

from __future__ import annotations

import re
from decimal import Context, Decimal

# An optional sign and currency, digits with separators, an optional exponent, and letters that follow without a space.
_TOKEN = re.compile(
    r"(?<!\w)(?P<sign>[-+−]?)[$€£¥]?(?P<inner>[-+−]?)(?P<body>\.?\d[\d.,]*+)(?P<exponent>(?:[eE][-+−]?\d++)?)(?P<unit>[^\W\d_]*+)"
)
_PLAIN = re.compile(r"\d+(?:\.\d*)?|\.\d+|\d{1,3}(?:,\d{3})+(?:\.\d*)?")
# The end of the statement of an answer; the last one counts.
_STATED = re.compile(r"\b(?:answer|result|total)\b[\"'`]?\s{0,9}(?::|=|\bis\b)|\bboxed\{|####", re.IGNORECASE)
_MULTIPLE = re.compile(r"\s?(?:hundred|thousand|million|billion|trillion)\b", re.IGNORECASE)
_MULTIPLES = ("k", "K", "M", "B", "T", "bn", "mn")
_ORDINALS = ("st", "nd", "rd", "th")
_JOINTS = "-–−/:."
# Spaces that separate thousands.
_GROUPS = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_LONGEST = 400
# Exact for numbers of _LONGEST digits with exponents of three digits.
_EXACT = Context(prec=4000, Emax=10_000, Emin=-10_000, traps=[])


def stated_number(answer: str) -> Decimal | None:
    """Return the number that an answer states; None if it states none that can be read.

    That is the first number in the line after the last `Answer:`, `is`, `boxed{` or `####`, after the last equals
    sign of that line; without such a statement, the last number of the answer. A range, a date, a fraction, a time and
    a number with a multiple such as `5 million` or `5k` do not count as numbers.
    """
    text = _clean(answer)
    marks = list(_STATED.finditer(text))
    if marks:
        line = text[marks[-1].end() :].strip().split("\n", 1)[0]
        after = _numbers(line.rpartition("=")[2]) or _numbers(line)
        if after:
            return after[0]
    found = _numbers(text)
    return found[-1] if found else None


def last_number(answer: str) -> Decimal | None:
    """Return the last number of an answer; None if it has none, or one that cannot be read."""
    found = _numbers(_clean(answer))
    return found[-1] if found else None


def as_number(text: str) -> Decimal | None:
    """Read a text that is one number, with at most a currency, a percent sign or a unit; None for any other text."""
    found = list(_TOKEN.finditer(_clean(text)))
    rest = _TOKEN.sub(" ", _clean(text)).strip(" \t\n.$€£¥%°")
    numbers = _numbers(_clean(text))
    return numbers[0] if len(found) == len(numbers) == 1 and re.fullmatch(r"[^\W\d_]{0,12}", rest) else None


def is_close(value: Decimal, gold: Decimal, tolerance: float = 0.0, relative: float = 0.0) -> bool:
    """True if the distance to the gold number is at most `tolerance`, or at most `relative` times that number."""
    allowed = max(Decimal(str(tolerance)), _EXACT.multiply(Decimal(str(relative)), abs(gold)))
    return bool(abs(_EXACT.subtract(value, gold)) <= allowed)


def _clean(answer: str) -> str:
    return _GROUPS.sub("", re.sub(r"[*_`]", "", answer))


def _numbers(text: str) -> list[Decimal | None]:
    """Return the numbers of a text in order, with None for one that cannot be read. Names such as GPT-4 are omitted."""
    found: list[Decimal | None] = []
    for match in _TOKEN.finditer(text):
        before, after = text[max(0, match.start() - 2) : match.start()], text[match.end() : match.end() + 2]
        joint = len(before) == 2 and before[1] in _JOINTS
        if (joint and before[0].isalpha()) or match["unit"] in _ORDINALS:
            continue
        split = (joint and before[0].isdigit()) or (len(after) == 2 and after[0] in _JOINTS and after[1].isdigit())
        multiple = match["unit"] in _MULTIPLES or _MULTIPLE.match(text, match.end())
        word = match.end() < len(text) and (text[match.end()].isdigit() or text[match.end()] == "_")
        found.append(None if split or multiple or word else _value(match))
    return found


def _value(match: re.Match[str]) -> Decimal | None:
    # A full stop or comma at the end belongs to the sentence.
    body = match["body"].rstrip(".,") if not match["exponent"] else match["body"]
    exponent = match["exponent"].replace("−", "-")
    if not _PLAIN.fullmatch(body) or len(body) > _LONGEST or len(exponent) > 5 or (match["sign"] and match["inner"]):
        return None
    negative = match["sign"] in ("-", "−") or match["inner"] in ("-", "−")
    return Decimal(("-" if negative else "") + body.replace(",", "") + exponent)
