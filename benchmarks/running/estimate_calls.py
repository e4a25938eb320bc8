"""The calls that the estimate expects of a method for one sample; `estimate_habits` has the parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.running.estimate_habits import (
    CODEACT_PROMPT,
    LABEL_TOKENS,
    LOOKUP_TURNS,
    NOTE,
    NOTE_TOKENS,
    SEARCH_RESULT,
    SUMMARY,
    Habits,
    Task,
    habits_of,
)
from rlm.methods.base import BaseBm25, BaseTruncated, PlainModel
from rlm.methods.codeact.loop import LLM_QUERY, SEARCH, CodeAct
from rlm.methods.combinators import RLMCombinators
from rlm.methods.compaction import Compaction
from rlm.methods.map_reduce import MapReduce
from rlm.methods.rlm import RLM, RLMCompacted
from rlm.methods.selfconsistency import RLMSelfConsistency
from rlm.methods.window import Window, reply_tokens
from rlm.tree import COMPACTOR

UNKNOWN_WINDOW = 128_000


@dataclass(frozen=True)
class Calls:
    """The calls of one role in one completion: their number, and the sums of their prompt and completion tokens.

    cached_tokens: the part of the prompts that earlier calls of the same loop had sent. plain: the call is the base
    model's own, so a run makes it once for all methods.
    """

    role: str
    calls: float
    prompt_tokens: float
    completion_tokens: float
    cached_tokens: float = 0
    plain: bool = False


@dataclass(frozen=True)
class Sample:
    """The size of one sample: tokens of its prompt, the number of documents (0 for a single text), and its task."""

    tokens: float
    documents: int = 0
    task: Task = Task.QUESTION


def expected_calls(method: Any, sample: Sample, habits: Habits | None = None) -> list[Calls] | None:
    """Estimate the calls that a method makes for a sample, within its limits; None for an unknown method.

    habits: None takes those of the method's root. An empty list means that the prompt does not fit the window. A custom
    method can define `expected_calls(tokens)`, which returns a list of Calls.
    """
    if hasattr(method, "expected_calls"):
        return method.expected_calls(round(sample.tokens))
    habits = habits or habits_of(method.model)
    for kind, expect in _MODELS.items():
        if isinstance(method, kind):
            calls = expect(method, sample, habits)
            return list(_bounded(calls, method))
    return None


def model_of(method: Any, calls: Calls) -> Any:
    """Return the model that makes these calls of a method; a method may have a compactor beside its sub-model."""
    if calls.role == "root":
        return method.model
    return getattr(method, COMPACTOR, method.sub_model) if calls.role == COMPACTOR else method.sub_model


def _answer(sample: Sample, habits: Habits) -> float:
    return habits.listed if sample.task == Task.PAIRS else habits.reply


def _input(model: Any) -> float:
    """Return the tokens of the longest prompt that leaves room for the reply."""
    return (model.context_window or UNKNOWN_WINDOW) - reply_tokens(model)


def _room(model: Any) -> float:
    """Return the tokens that a method fills, which are fewer: it does not know the model's tokenizer."""
    return Window(model).tokens or UNKNOWN_WINDOW


def _plain(method: Any, sample: Sample, habits: Habits) -> list[Calls]:
    if sample.tokens > _input(method.model):
        return []
    return [Calls("root", 1, sample.tokens, _answer(sample, habits), plain=True)]


def _cut(method: Any, sample: Sample, habits: Habits) -> list[Calls]:
    room = _room(method.model)
    whole = sample.tokens <= room and isinstance(method, BaseTruncated)
    return [Calls("root", 1, min(sample.tokens, room), _answer(sample, habits), plain=whole)]


def _compaction(method: Compaction, sample: Sample, habits: Habits) -> list[Calls]:
    if sample.tokens <= _room(method.model):
        return _plain(method, sample, habits)
    summary = min(SUMMARY, method.summary_tokens or SUMMARY, method.sub_model.sampling.max_output_tokens or SUMMARY)
    filled = _room(method.sub_model)
    pieces = math.ceil(sample.tokens / max(filled - summary - 200, filled / 4))
    return [
        Calls(COMPACTOR, pieces, pieces * filled, pieces * max(summary, habits.reply)),
        Calls("root", 1, summary + 500, _answer(sample, habits)),
    ]


def _map_reduce(method: MapReduce, sample: Sample, habits: Habits) -> list[Calls]:
    window = _piece(method, 2)
    if sample.tokens <= window:
        return _plain(method, sample, habits)
    windows = math.ceil(sample.tokens / window)
    reads = Calls("sub", windows, sample.tokens * 1.1, windows * NOTE)
    # The limits can end the reading before the last window.
    (made,) = _bounded([reads], method, roots=1)
    notes = min(made.completion_tokens + 300, _room(method.model))
    return [reads, Calls("root", 1, notes, _answer(sample, habits))]


def _codeact(method: CodeAct, sample: Sample, habits: Habits) -> list[Calls]:
    if sample.documents and SEARCH in method.actions:
        habits = replace(habits, output=SEARCH_RESULT if habits.output > SEARCH_RESULT / 5 else habits.output)
        return [_loop(method, habits.codeact_turns, 2 * CODEACT_PROMPT, sample, habits)]
    if sample.tokens > _input(method.model):
        return []
    # A question about a text that the model has before it is answered at once: the paper's two CodeAct arms cost as
    # much as one or two calls on CodeQA, and score as the base model.
    at_once = sample.task in (Task.QUESTION, Task.LOOKUP)
    root = _loop(method, 1 if at_once else habits.codeact_turns, sample.tokens + CODEACT_PROMPT, sample, habits)
    reads = LLM_QUERY in method.actions and sample.task in (Task.LABELS, Task.PAIRS)
    return [root, *(_reads(method, sample, habits) if reads else [])]


def _rlm(method: Any, sample: Sample, habits: Habits) -> list[Calls]:
    # The published costs of the depths 1 to 3 differ less than this estimate and the costs.
    depth = getattr(method, "max_depth", 1)
    root = _loop(method, _rlm_turns(method, sample, habits), habits.prompt, sample, habits, habits.kept, listed=False)
    return [root, *(_reads(method, sample, habits) if depth else [])]


def _rlm_turns(method: Any, sample: Sample, habits: Habits) -> float:
    if sample.task == Task.LOOKUP:
        return LOOKUP_TURNS
    turns = habits.rlm_turns if getattr(method, "max_depth", 1) else habits.depth0_turns
    # A turn composes a complete program.
    return min(turns, 4) if isinstance(method, RLMCombinators) else turns


def _compacted(method: RLMCompacted, sample: Sample, habits: Habits) -> list[Calls]:
    """Estimate an RLM whose history is replaced by a summary when it fills its share of the window."""
    calls = _rlm(method, sample, habits)
    room = method.compact_at * (method.model.context_window or UNKNOWN_WINDOW)
    turns = _bounded_turns(method, _rlm_turns(method, sample, habits))
    longest = habits.prompt + _growth(method, habits) * (turns - 1)
    if longest <= room:
        return calls
    times = math.ceil((longest - room) / max(room - habits.prompt, _growth(method, habits)))
    prompts = turns * (habits.prompt + room) / 2
    cached = max(0.0, prompts - longest - times * SUMMARY)
    root = Calls("root", turns, prompts, turns * habits.reply, cached)
    return [root, *calls[1:], Calls(COMPACTOR, times, times * room, times * SUMMARY)]


def _self_consistency(method: RLMSelfConsistency, sample: Sample, habits: Habits) -> list[Calls]:
    sums = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens")
    calls = _rlm(method, sample, habits)
    return [replace(one, **{name: method.k * getattr(one, name) for name in sums}) for one in calls]


def _loop(
    method: Any, turns: float, first: float, sample: Sample, habits: Habits, kept: float = 0, listed: bool = True
) -> Calls:
    """Estimate the root's calls: the first prompt has `first` tokens, and every turn adds a reply and an output.

    listed: the root writes a long answer itself, rather than returning a variable.
    """
    limits = method.limits
    grow = habits.shown + min(habits.output, limits.max_output_chars / 4)
    most = [
        turns,
        1 + max(0.0, _input(method.model) - first) / grow,
        limits.max_calls,
        getattr(method, "max_turns", None),
    ]
    turns = max(1.0, min(value for value in (*most, limits.max_turns) if value is not None))
    prompts = turns * first + grow * turns * (turns - 1) / 2
    new = first + grow * (turns - 1)
    answer = _answer(sample, habits) if listed else habits.reply
    return Calls("root", turns, prompts, (turns - 1) * habits.reply + answer, cached_tokens=prompts - new + kept)


def _growth(method: Any, habits: Habits) -> float:
    """Return the tokens that a turn adds to the history."""
    return habits.shown + min(habits.output, method.limits.max_output_chars / 4)


def _bounded_turns(method: Any, turns: float, fitting: float = math.inf) -> float:
    limits = method.limits
    bounds = (turns, fitting, limits.max_calls, limits.max_turns, getattr(method, "max_turns", None))
    return max(1.0, min(bound for bound in bounds if bound is not None))


def _reads(method: Any, sample: Sample, habits: Habits) -> list[Calls]:
    """Estimate the sub-calls that read the context, or the part of it that matters."""
    whole = sample.task in (Task.LABELS, Task.PAIRS)
    share = habits.labelled if whole else habits.searched
    if not share or sample.task == Task.LOOKUP:
        return []
    tokens = share * sample.tokens
    calls: float = math.ceil(tokens / _piece(method, 4))
    if whole:
        calls = max(calls, min(habits.sub_calls, math.ceil(tokens / 200)))
    return [Calls("sub", calls, tokens, tokens * (LABEL_TOKENS if whole else NOTE_TOKENS))]


def _piece(method: Any, part: int) -> float:
    """Return the tokens of one sub-call's prompt: a part of the sub-model's window, within the limits."""
    piece = (method.sub_model.context_window or UNKNOWN_WINDOW) / part
    return min(piece, method.limits.max_sub_prompt_tokens or piece)


def _bounded(calls: Sequence[Calls], method: Any, roots: float = 0) -> Iterator[Calls]:
    """Apply the limits on the number of calls and the caps on replies. roots: calls of the root beside these."""
    limits = method.limits
    roots += sum(one.calls for one in calls if one.role == "root")
    for one in calls:
        most = one.calls
        if one.role != "root":
            spare = None if limits.max_calls is None else max(0.0, limits.max_calls - roots)
            most = min(value for value in (one.calls, spare, limits.max_sub_calls) if value is not None)
        model = model_of(method, one)
        part = most / one.calls
        written = min(one.completion_tokens * part, most * (model.sampling.max_output_tokens or math.inf))
        yield replace(
            one, calls=most, prompt_tokens=one.prompt_tokens * part, completion_tokens=written,
            cached_tokens=one.cached_tokens * part,
        )  # fmt: skip


# A subclass comes before its base class.
_MODELS: dict[type, Any] = {
    BaseTruncated: _cut,
    BaseBm25: _cut,
    PlainModel: _plain,
    Compaction: _compaction,
    CodeAct: _codeact,
    MapReduce: _map_reduce,
    RLMSelfConsistency: _self_consistency,
    RLMCompacted: _compacted,
    RLMCombinators: _rlm,
    RLM: _rlm,
}
