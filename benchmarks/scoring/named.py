"""Scorers by name: `exact`, `contains`, `f1`, `choice`, `number`, `regex`, `set_f1`, `judge` and `MODULE:FUNCTION`."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

from benchmarks.sample import Constant, Judge, Score
from benchmarks.scoring import compare, guesses
from benchmarks.scoring.choice import stated
from benchmarks.scoring.gold import Gold, NamedScorer
from benchmarks.scoring.judgement import judged_score
from benchmarks.scoring.texts import contains
from rlm.paths import expand_home
from rlm.prompts import MAX_PROMPT_BYTES
from rlm.reading import read_text
from rlm.validation import unknown

# A longer answer may contain the value only because it contains everything.
CONTAINING_TOKENS = 256
# The default output limit of BrowseComp-Plus's official agents.
JUDGED_TOKENS = 10_000
# The lenient score does not search a longer answer, because it may list many answers.
_LENIENT_CHARS = 1000
_ALONE = "Reply with the answer alone, as short as it can be."
_ITEMS = (
    'Reply with all items of the answer and nothing else, one item a line; reply "none" if there are no items.'
)  # fmt: skip


def _first(gold: Gold) -> str:
    return gold.answers[0]


def _stated(gold: Gold) -> str:
    return stated(gold.answers[0])


@dataclass(frozen=True)
class TextScorer:
    """A scorer that compares texts by `rule(gold, text)`; the other fields are those of NamedScorer."""

    kind: str
    id: str
    rule: Callable[[Gold, str], Score]
    expected: Callable[[Gold], str] = compare.expected_any
    instruction: str = ""
    max_answer_tokens: int | None = None
    oracle: Callable[[Gold], str] = _first
    guesses: tuple[Constant, ...] = tuple(guesses.TEXTS)

    async def score(self, gold: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(self.rule, gold, answer) if answer is not None else Score(0.0, 0.0, False, "")

    def constants(self) -> Sequence[Constant]:
        return self.guesses


@dataclass(frozen=True)
class JudgeScorer:
    """Scores by the verdict of the judge, which also gets the rubric; without a judge, by SQuAD's exact match."""

    id: str
    rubric: str = ""
    kind: str = "judge"
    instruction: str = ""
    max_answer_tokens: int | None = JUDGED_TOKENS

    def expected(self, gold: Gold) -> str:
        return ""

    async def score(self, gold: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        text = answer or ""
        match = compare.score_exact(gold, text).value if text.strip() else 0.0
        value = match
        details: dict[str, Any] = {"match": match, "judged_by": "match"}
        if judge is not None:
            more = {"rubric": self.rubric} if self.rubric else {}
            value, judged = await judged_score(judge, gold.question, text, _any_of(gold.answers), **more)
            details |= judged
        named = len(text) <= _LENIENT_CHARS and any(contains(text, one) for one in gold.answers)
        return Score(value, max(value, float(named)), bool(text.strip()), compare.shown(text), details)

    def oracle(self, gold: Gold) -> str:
        return gold.answers[0]

    def constants(self) -> Sequence[Constant]:
        return guesses.TEXTS


@dataclass(frozen=True)
class FunctionScorer:
    """A user's `function(answers, answer)`, which returns a number from 0 to 1, a bool or a Score, or awaits one."""

    function: Callable[..., Any]
    id: str
    kind: str = "function"
    instruction: str = ""
    max_answer_tokens: int | None = JUDGED_TOKENS

    def expected(self, gold: Gold) -> str:
        return ""

    async def score(self, gold: Gold, answer: str | None, judge: Judge | None = None) -> Score:
        if answer is None:
            return Score(0.0, 0.0, False, "")
        found = await asyncio.to_thread(self.function, list(gold.answers), answer)
        found = await found if inspect.isawaitable(found) else found
        if isinstance(found, Score):
            return found
        if not isinstance(found, Real):
            raise TypeError(f"the function returned a {type(found).__name__}")
        return Score(float(found), float(found), bool(answer.strip()), compare.shown(answer))

    def oracle(self, gold: Gold) -> str:
        return gold.answers[0]

    def constants(self) -> Sequence[Constant]:
        return guesses.TEXTS


def _any_of(answers: Sequence[str]) -> str:
    return answers[0] if len(answers) == 1 else "any one of:\n" + "\n".join(f"- {one}" for one in answers)


_TEXT_SCORERS = {
    scorer.kind: scorer
    for scorer in (
        TextScorer("exact", "exact-1", compare.score_exact, compare.expected_words, _ALONE),
        TextScorer("contains", "contains-1", compare.score_contains, max_answer_tokens=CONTAINING_TOKENS),
        TextScorer("f1", "f1-1", compare.score_f1, compare.expected_words, _ALONE),
        TextScorer(
            "choice", "choice-1", compare.score_letter, compare.expected_letter, oracle=_stated,
            guesses=tuple(guesses.LETTERS),
        ),
        TextScorer(
            "regex", "regex-1", compare.score_regex, compare.expected_pattern, "", CONTAINING_TOKENS,
            compare.matching_text,
        ),
        TextScorer(
            "set_f1", "set_f1-1", compare.score_set, compare.expected_items, _ITEMS, None, compare.listed,
            tuple(guesses.LISTS),
        ),
    )
}  # fmt: skip
NAMES = (*_TEXT_SCORERS, "number", "judge")


def named_scorer(
    name: str, tolerance: float = 0.0, relative_tolerance: float = 0.0, rubric: str | None = None
) -> NamedScorer:
    """Find the scorer with a name, or make that of `MODULE:FUNCTION`.

    tolerance, relative_tolerance: settings of `number`. rubric: the path of the rules for `judge`. Raises ValueError,
    whose message begins with the name of a setting.
    """
    for key, value in (("tolerance", tolerance), ("relative_tolerance", relative_tolerance)):
        if value and name != "number":
            raise ValueError(f"{key} is {value:g}: expected 0, because scorer is {name!r}, not 'number'")
    if rubric is not None and name != "judge":
        raise ValueError(f"rubric is {rubric!r}: expected null, because scorer is {name!r}, not 'judge'")
    if name == "number":
        return _number(tolerance, relative_tolerance)
    if name == "judge":
        text = "" if rubric is None else _read_rubric(rubric)
        return JudgeScorer(f"judge-1 rubric={_digest(text)}" if text else "judge-1", text)
    if name in _TEXT_SCORERS:
        return _TEXT_SCORERS[name]
    if ":" in name:
        return _function(name)
    raise ValueError(f"scorer is {name!r}: {unknown('scorer', name, NAMES)}; a function is MODULE:FUNCTION")


def _number(tolerance: float, relative: float) -> NamedScorer:
    allowed = f" tolerance={tolerance:g}" * bool(tolerance) + f" relative_tolerance={relative:g}" * bool(relative)
    return TextScorer(
        "number", f"number-1{allowed}", partial(compare.score_number, tolerance, relative), compare.expected_number,
        "Reply with the number alone.", guesses=tuple(guesses.NUMBERS),
    )  # fmt: skip


def _read_rubric(path: str) -> str:
    try:
        text = read_text(expand_home(path), MAX_PROMPT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"rubric is {path!r}: expected a text file with rules for the judge ({error})") from error
    if not text.strip():
        raise ValueError(f"rubric is {path!r}: expected rules for the judge; the file is empty")
    return text


def _function(name: str) -> NamedScorer:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:
        # The module is the user's and may raise any exception.
        raise ValueError(f"scorer is {name!r}: expected a function that can be imported ({error})") from error
    if not callable(found):
        raise ValueError(f"scorer is {name!r}: {function} is a {type(found).__name__}: expected a function")
    try:
        source = inspect.getsource(inspect.getmodule(found) or found)
    except (OSError, TypeError):
        source = ""
    return FunctionScorer(found, f"{name} {_digest(source)}" if source else name)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
