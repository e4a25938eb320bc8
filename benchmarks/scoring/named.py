"""Scorers by name: `exact`, `contains`, `f1`, `choice`, `number`, `regex`, `set_f1`, `judge` and `MODULE:FUNCTION`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

from benchmarks.sample import Constant, Judge, Score, UnlabelledSample
from benchmarks.scoring.choice import ALL_LETTERS, score_choice, stated
from benchmarks.scoring.guesses import NAME, NUMBER, WORD, all_of, most_frequent, nearest_sentence
from benchmarks.scoring.judgement import judged_score
from benchmarks.scoring.numbers import as_number, is_close, last_number, stated_number
from benchmarks.scoring.patterns import example_of, search
from benchmarks.scoring.sets import compare_sets, key_of, listed_items
from benchmarks.scoring.texts import contains, contains_loosely, final_answer, overlap, squad_words

_ALONE = "Reply with the answer alone, as short as it can be."
_SHOWN = 200


@dataclass(frozen=True)
class Gold:
    """The accepted answers of a question, the question for a judge, and the choices of a multiple-choice question."""

    answers: tuple[str, ...]
    question: str = ""
    choices: tuple[str, ...] = ()

    @property
    def letters(self) -> str:
        """The letters of the choices; all letters if the choices are unknown."""
        return ALL_LETTERS[: len(self.choices)] if self.choices else ALL_LETTERS


class NamedScorer(Protocol):
    """Scores answers against accepted answers.

    id: name and version, with all settings that change a score. max_answer_tokens: the default of a suite.
    instruction: the form of answer that a question asks for; empty for none.
    """

    id: str
    max_answer_tokens: int | None
    instruction: str

    def expected(self, gold: Gold) -> str:
        """The kind of answer that is expected, if the answers of a row cannot be scored; empty if they can."""
        ...

    async def score(self, gold: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        """Score an answer; None scores 0."""
        ...

    def oracle(self, gold: Gold) -> str:
        """An answer that scores 1. Raises ValueError if none can be made."""
        ...

    def constants(self) -> Sequence[Constant]:
        """Answers that need no understanding, floods among them."""
        ...


def _first(gold: Gold) -> str:
    return gold.answers[0]


def _query(sample: UnlabelledSample) -> str:
    return sample.prompt.query


def _always(answer: str, sample: UnlabelledSample) -> str:
    return answer


def _joined(pattern: re.Pattern[str], separator: str, sample: UnlabelledSample) -> str:
    return separator.join(all_of(sample, pattern))


def _frequent(pattern: re.Pattern[str], sample: UnlabelledSample) -> str:
    return most_frequent(sample, pattern)


_FIXED: list[Constant] = [partial(_always, answer) for answer in ("yes", "no", "true", "false", "unknown")]
_GUESSES: list[Constant] = [*_FIXED, *(partial(_frequent, pattern) for pattern in (NAME, WORD, NUMBER)), _query]
_FLOODS: list[Constant] = [partial(_joined, pattern, ", ") for pattern in (NAME, WORD, NUMBER)]


@dataclass(frozen=True)
class _TextScorer:
    """Compares texts by `compare(gold, text)`. constants: further guesses and floods."""

    id: str
    compare: Callable[[Gold, str], Score]
    expected: Callable[[Gold], str]
    instruction: str = ""
    max_answer_tokens: int | None = None
    oracle: Callable[[Gold], str] = _first
    guesses: Sequence[Constant] = field(default_factory=lambda: [*_GUESSES, nearest_sentence, *_FLOODS])

    async def score(self, gold: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        if answer is None:
            return Score(0.0, 0.0, False, "")
        import asyncio

        return await asyncio.to_thread(self.compare, gold, answer)

    def constants(self) -> Sequence[Constant]:
        return self.guesses


def _any_text(gold: Gold) -> str:
    return ""


# --- SQuAD


def _words_remain(gold: Gold) -> str:
    return (
        "" if all(squad_words(answer) for answer in gold.answers)
        else "text of which SQuAD's normalisation, which removes punctuation and articles, leaves something"
    )  # fmt: skip


def _is_one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1


def _exact(gold: Gold, text: str) -> Score:
    right = [squad_words(answer) for answer in gold.answers]
    value = squad_words(text) in right
    return Score(
        float(value), float(value or squad_words(final_answer(text)) in right), _is_one_line(text),
        text.strip()[:_SHOWN],
    )  # fmt: skip


def _f1(gold: Gold, text: str) -> Score:
    right = [squad_words(answer) for answer in gold.answers]
    words, last = squad_words(text), squad_words(final_answer(text))
    best = max((overlap(words, one) for one in right), key=lambda found: found.f1)
    lenient = max(best.f1, *(overlap(last, one).f1 for one in right))
    details = {"precision": best.precision, "recall": best.recall, "exact": float(words in right)}
    return Score(best.f1, lenient, _is_one_line(text), text.strip()[:_SHOWN], details)


# --- containment


def _contains(gold: Gold, text: str) -> Score:
    value = any(contains(text, answer) for answer in gold.answers)
    lenient = value or any(contains_loosely(text, answer) for answer in gold.answers)
    found = next((answer for answer in gold.answers if contains(text, answer)), text.strip()[:_SHOWN])
    exact = any(text.strip().lower() == answer.strip().lower() for answer in gold.answers)
    return Score(float(value), float(lenient), bool(text.strip()), found, {"exact": float(exact)})


# --- choice


def _one_choice(gold: Gold) -> str:
    fits = len(gold.answers) == 1 and len(gold.answers[0]) == 1 and gold.answers[0] in gold.letters
    return "" if fits else f"one letter from A to {gold.letters[-1]}, or the text of one of the choices"


def _choice(gold: Gold, text: str) -> Score:
    return score_choice(gold.answers[0], gold.choices, text, gold.letters)


def _letter(place: int, sample: UnlabelledSample) -> str:
    return stated(ALL_LETTERS[place])


_LETTERS: list[Constant] = [
    *(partial(_letter, place) for place in range(10)),
    partial(_always, "\n".join(map(stated, reversed(ALL_LETTERS)))),
]


# --- number


def _numbers(gold: Gold) -> str:
    fits = all(as_number(answer) is not None for answer in gold.answers)
    return "" if fits else "a number, such as 5, -2.5, 1,234 or 1e6"


def _number(tolerance: float, relative: float, gold: Gold, text: str) -> Score:
    right = [number for number in map(as_number, gold.answers) if number is not None]
    found, last = stated_number(text), last_number(text)

    def close(number: Any) -> bool:
        return number is not None and any(is_close(number, one, tolerance, relative) for one in right)

    shown = "" if found is None else format(found, "f" if -20 < found.adjusted() < 20 else "")
    return Score(float(close(found)), float(close(found) or close(last)), as_number(text) is not None, shown)


_FIGURES: list[Constant] = [
    *(partial(_always, answer) for answer in ("0", "1", "2", "10", "100")),
    partial(_frequent, NUMBER), partial(_joined, NUMBER, " "), _query,
]  # fmt: skip


# --- regex


def _compiles(gold: Gold) -> str:
    for answer in gold.answers:
        try:
            re.compile(answer)
        except (re.error, RecursionError, OverflowError) as error:
            return f"a regular expression of Python ({error})"
    return ""


def _regex(gold: Gold, text: str) -> Score:
    found = next((part for answer in gold.answers if (part := search(answer, text)) is not None), None)
    return Score(float(found is not None), float(found is not None), bool(text.strip()), (found or "")[:_SHOWN])


def _matching(gold: Gold) -> str:
    made = next((text for answer in gold.answers if (text := example_of(answer)) is not None), None)
    if made is None:
        raise ValueError("the oracle cannot make a text that matches the regular expression")
    return made


# --- sets


def _items(gold: Gold) -> str:
    return "" if len({key_of(answer) for answer in gold.answers}) == len(gold.answers) else "each item once"


def _set_f1(gold: Gold, text: str) -> Score:
    items = listed_items(text, gold.answers)
    counts = compare_sets(items, gold.answers)
    value = counts.f1 if text.strip() else 0.0
    details = {
        "precision": counts.precision, "recall": counts.recall,
        "n_gold": float(counts.gold), "n_predicted": float(counts.predicted),
    }  # fmt: skip
    return Score(value, value, bool(text.strip()), "; ".join(items)[:_SHOWN], details)


def _listed(gold: Gold) -> str:
    return "\n".join(gold.answers) or "none"


_LISTS: list[Constant] = [
    partial(_always, "none"), *(partial(_joined, pattern, "\n") for pattern in (NAME, WORD, NUMBER)), _query,
]  # fmt: skip


# --- judge


@dataclass(frozen=True)
class _Judged:
    """The verdict of the judge; without a judge, an exact match."""

    rubric: str
    id: str
    # As BrowseComp-Plus: the default output limit of its official agents.
    max_answer_tokens: int | None = 10_000
    instruction: str = ""

    def expected(self, gold: Gold) -> str:
        return ""

    async def score(self, gold: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        text = answer or ""
        match = _exact(gold, text) if text.strip() else Score(0.0, 0.0, False, "")
        details: dict[str, Any] = {"match": match.value, "judged_by": "match"}
        value = match.value
        if judge is not None:
            listed = "\n".join(f"- {one}" for one in gold.answers)
            correct = gold.answers[0] if len(gold.answers) == 1 else f"any one of:\n{listed}"
            more = {"rubric": self.rubric} if self.rubric else {}
            value, judged = await judged_score(judge, gold.question, text, correct, **more)
            details |= judged
        lenient = any(contains(text, one) for one in gold.answers) and len(text) < 1000
        return Score(value, max(value, float(lenient)), bool(text.strip()), text.strip()[:_SHOWN], details)

    def oracle(self, gold: Gold) -> str:
        return gold.answers[0]

    def constants(self) -> Sequence[Constant]:
        return [*_GUESSES, nearest_sentence]


# --- functions


@dataclass(frozen=True)
class _Function:
    """A function of a user: `function(answers, answer)` returns a number from 0 to 1, a bool or a Score."""

    function: Callable[..., Any]
    id: str
    max_answer_tokens: int | None = 10_000
    instruction: str = ""

    def expected(self, gold: Gold) -> str:
        return ""

    async def score(self, gold: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        if answer is None:
            return Score(0.0, 0.0, False, "")
        import asyncio

        found = await asyncio.to_thread(self.function, list(gold.answers), answer)
        found = await found if inspect.isawaitable(found) else found
        if isinstance(found, Score):
            return found
        if not isinstance(found, Real):
            raise TypeError(f"the function returned a {type(found).__name__}")
        return Score(float(found), float(found), bool(answer.strip()), answer.strip()[:_SHOWN])

    def oracle(self, gold: Gold) -> str:
        return gold.answers[0]

    def constants(self) -> Sequence[Constant]:
        return [*_GUESSES, nearest_sentence, *_FLOODS]


# A longer answer contains its value because it contains everything.
_CONTAINING_TOKENS = 256
_SCORERS: dict[str, Callable[[], NamedScorer]] = {
    "exact": lambda: _TextScorer("exact-1", _exact, _words_remain, _ALONE),
    "contains": lambda: _TextScorer("contains-1", _contains, _any_text, "", _CONTAINING_TOKENS),
    "f1": lambda: _TextScorer("f1-1", _f1, _words_remain, _ALONE),
    "choice": lambda: _TextScorer(
        "choice-1", _choice, _one_choice, "", None, lambda gold: stated(gold.answers[0]), _LETTERS
    ),
    "regex": lambda: _TextScorer("regex-1", _regex, _compiles, "", _CONTAINING_TOKENS, _matching),
    "set_f1": lambda: _TextScorer(
        "set_f1-1", _set_f1, _items, "Reply with all items of the answer and nothing else, one item a line; reply "
        '"none" if there are no items.', None, _listed, _LISTS,
    ),
}  # fmt: skip
NAMES = (*_SCORERS, "number", "judge")


def named_scorer(
    name: str, tolerance: float = 0.0, relative_tolerance: float = 0.0, rubric: str | None = None
) -> NamedScorer:
    """The scorer of a name, or of `MODULE:FUNCTION`.

    tolerance, relative_tolerance: of `number`. rubric: the file with the rules of `judge`. Raises ValueError, whose
    message begins with the name of a setting.
    """
    if name != "number" and (tolerance or relative_tolerance):
        key = "tolerance" if tolerance else "relative_tolerance"
        raise ValueError(
            f"{key} is {tolerance or relative_tolerance}: expected 0, since scorer is {name!r}, not 'number'"
        )
    if name != "judge" and rubric is not None:
        raise ValueError(f"rubric is {rubric!r}: expected null, since scorer is {name!r}, not 'judge'")
    if name == "number":
        compare = partial(_number, tolerance, relative_tolerance)
        shown = f"number-1 tolerance={tolerance:g} relative_tolerance={relative_tolerance:g}"
        return _TextScorer(shown, compare, _numbers, "Reply with the number alone.", guesses=_FIGURES)
    if name == "judge":
        text = _read_rubric(rubric) if rubric is not None else ""
        return _Judged(text, f"judge-1 rubric={_digest(text.encode())}" if text else "judge-1")
    if name in _SCORERS:
        return _SCORERS[name]()
    if ":" in name:
        return _function(name)
    from rlm.validation import unknown

    raise ValueError(f"scorer is {name!r}: {unknown('scorer', name, NAMES)}; or MODULE:FUNCTION for a function")


def _read_rubric(path: str) -> str:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"rubric is {path!r}: expected a text file with the rules of the judge ({error})") from error
    if not text.strip():
        raise ValueError(f"rubric is {path!r}: the file is empty: expected the rules of the judge")
    return text


def _function(name: str) -> NamedScorer:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
        source = inspect.getsource(inspect.getmodule(found) or found)
    except Exception as error:
        # The module is a user's and can raise anything.
        raise ValueError(
            f"scorer is {name!r}: expected a module that can be imported and its function ({error})"
        ) from error
    if not callable(found):
        raise ValueError(f"scorer is {name!r}: {function} is a {type(found).__name__}: expected a function")
    return _Function(found, f"{name} {_digest(source.encode())}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
