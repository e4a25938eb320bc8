"""The official OOLONG score of an answer, quirks included, and a lenient one beside it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dateutil.parser

from benchmarks.sample import Score
from rlm.syntax import literal_value

LABEL, NUMERIC, COMPARISON, USER, DATE = "LABEL", "NUMERIC", "COMPARISON", "USER", "DATE"
PHRASES = ("more common", "less common", "same frequency")

# An answer shorter than this is taken as it is.
_SHORT = 20
_LONGEST_DATE = 2000
# What the parts of a date that an answer leaves out are read as; dateutil's own default is the day of the run.
_NO_DATE = datetime.datetime(1, 1, 1)
_FORMS = {
    LABEL: r"Label: *\S.*",
    NUMERIC: r"Answer: *-?\d+",
    COMPARISON: r"Answer: .*\b(?:more common|less common|same frequency)\b.*",
    USER: r"User: *\d+",
    DATE: r"Date: *\d{1,2}/\d{1,2}/\d{4}",
}
_MARK = re.compile(r"\b(?:label|answer|user|date)s?\b *(?::|\bis\b)", re.IGNORECASE)
_INTEGER = re.compile(r"(?<![\d.,])-?\d{1,3}(?:,\d{3})+(?![\d,])|-?\d+")


@dataclass(frozen=True)
class Gold:
    """The official answer of a question.

    answer: as the data set writes it, a list in Python such as `['entity']`, `[42]` or `[datetime.date(2024, 3, 5)]`.
    answer_type: LABEL, NUMERIC, COMPARISON, USER, DATE or another name of the data set.
    """

    answer: str
    answer_type: str

    @classmethod
    def of(cls, answer: Any, answer_type: str) -> Gold:
        """From the columns of a row. A bare value, or a list, is taken too. Raises ValueError for an unreadable one."""
        # `ANSWER_TYPE.NUMERIC` in the data set.
        kind = str(answer_type).rpartition(".")[2].upper()
        text = answer if isinstance(answer, str) and answer.strip().startswith("[") else None
        if text is None:
            value = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
            value = int(value) if isinstance(value, float) and value.is_integer() else value
            if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
                raise ValueError(f"an OOLONG answer is one value or a list of one, not {answer!r:.80}")
            value = value.strip() if isinstance(value, str) else value
            # Tables of other tools hold whole numbers as text.
            if kind in (NUMERIC, USER) and isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
                value = int(value)
            text = _written_date(value) if kind == DATE else repr([value])
        gold = cls(text.strip(), kind)
        try:
            gold.value  # noqa: B018
        except (ValueError, SyntaxError, IndexError, TypeError, KeyError, RecursionError, MemoryError) as error:
            raise ValueError(f"an OOLONG answer is a list such as [42] or ['entity'], not {answer!r:.80}") from error
        return gold

    @property
    def value(self) -> Any:
        """The value that predictions are compared with; a date as a datetime at midnight."""
        if "datetime" in self.answer:
            return datetime.datetime.strptime(self.answer, "[datetime.date(%Y, %m, %d)]")
        return literal_value(self.answer)[0]

    def written(self) -> str:
        """The gold in the form that the questions ask for."""
        value = self.value
        if isinstance(value, datetime.datetime):
            return f"Date: {value:%m/%d}/{value.year:04d}"
        return f"{ {LABEL: 'Label', USER: 'User', DATE: 'Date'}.get(self.answer_type, 'Answer') }: {value}"


def extract(answer: str) -> str:
    """What the official code takes from an answer.

    Without a colon the whole of a short text, or the last word of a long one; with one, what follows the last colon
    without `*`, `[` and `]`, or the comparison in it where that is long.
    """
    if ":" not in answer:
        words = answer.split()
        return answer if len(answer) < _SHORT else (words[-1] if words else "")
    candidate = answer.split(":")[-1].strip().replace("*", "").replace("[", "").replace("]", "")
    if len(candidate) >= _SHORT:
        return next((phrase for phrase in PHRASES if phrase in candidate), candidate)
    return candidate


def official_score(gold: Gold, answer: str) -> float:
    """The official score, 0 to 1. Never raises."""
    value, prediction = gold.value, extract(answer)
    if prediction == str(value):
        return 1.0
    if prediction in PHRASES:
        return float(prediction in str(value))
    if gold.answer_type == NUMERIC:
        return _closeness(value, prediction)
    if gold.answer_type == DATE:
        return float(_date(prediction) == value)
    return 0.0


def lenient_score(gold: Gold, answer: str, labels: Sequence[str]) -> float:
    """The same with formalities forgiven: letter case, full stops, thousands separators, words around the value."""
    value, text = gold.value, _final(answer)
    if isinstance(value, datetime.datetime):
        date = _date(text.rstrip("."))
        return float(date is not None and date.date() == value.date())
    if gold.answer_type == COMPARISON:
        return float(_only(PHRASES, text) in tuple(phrase for phrase in PHRASES if phrase in str(value)))
    if gold.answer_type in (NUMERIC, USER) and isinstance(value, int):
        number = _INTEGER.search(text)
        if number is None:
            return 0.0
        read = number.group().replace(",", "")
        return _closeness(value, read) if gold.answer_type == NUMERIC else float(read == str(value))
    if str(value) in labels:
        return float(_only(labels, text) == value)
    return float(re.sub(r"[\W_]+", " ", text).strip().lower() == re.sub(r"[\W_]+", " ", str(value)).strip().lower())


def judge_answer(gold: Gold, answer: str | None, labels: Sequence[str] = ()) -> Score:
    """Score an answer; None scores 0. format_ok: its last line has the form that the question asks for."""
    text = answer or ""
    if not text.strip():
        return Score(0.0, 0.0, False, "")
    official = official_score(gold, text)
    last = re.sub(r"[*\[\]`]", "", text.strip().splitlines()[-1]).strip()
    form = _FORMS.get(gold.answer_type, r"\w+: *\S.*")
    lenient = max(official, lenient_score(gold, text, labels))
    return Score(official, lenient, re.fullmatch(form, last) is not None, extract(text)[:200])


def _closeness(value: Any, prediction: str) -> float:
    try:
        return float(0.75 ** abs(int(value) - int(prediction)))
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _date(text: str) -> datetime.datetime | None:
    # Its reading of a flood takes the square of the time.
    if len(text) > _LONGEST_DATE:
        return None
    try:
        return dateutil.parser.parse(text, default=_NO_DATE)
    except Exception:
        # dateutil raises more than it documents on odd text, and any of it means: not a date.
        return None


def _written_date(value: str | int) -> str:
    """A bare date, `2023-01-05` or `datetime.date(2023, 1, 5)`, as the data set writes it. Raises ValueError."""
    if str(value).startswith("datetime.date("):
        return f"[{value}]"
    date = _date(str(value))
    if date is None or date.year == _NO_DATE.year:
        raise ValueError(f"an OOLONG answer of type DATE is a date, not {value!r:.80}")
    return f"[datetime.date({date.year}, {date.month}, {date.day})]"


def _final(answer: str) -> str:
    """What follows the last of the asked-for marks, else the last line; without markdown."""
    text = re.sub(r"[*\[\]`_'\"]", "", answer.strip())
    marks = list(_MARK.finditer(text))
    tail = text[marks[-1].end() :].strip() if marks else ""
    return tail.splitlines()[0].strip() if tail else (text.splitlines() or [""])[-1].strip()


def _only(choices: Sequence[str], text: str) -> str | None:
    """The one choice that a text names; None where it names none or several."""
    found = [choice for choice in choices if choice.lower() in text.lower()]
    return found[0] if len(found) == 1 else None
