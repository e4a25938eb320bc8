"""Samples, scores and the Benchmark protocol: the interface between a suite and the runner."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from benchmarks.sources.files import DataError
from rlm.completion import one_line
from rlm.prompt import Prompt


@dataclass(frozen=True)
class SampleInfo:
    """The properties of a sample that are known before its context is built. None of them reveals the target.

    cluster: samples with the same value share a context, so their errors are not independent.
    length: the declared length in tokens; None if the data set declares none.
    """

    sample_id: str
    cluster: str
    task_group: str
    complexity: str
    length: int | None = None


@dataclass(frozen=True)
class Sample:
    """A sample with its prompt and its target. Only the scorer may read the target."""

    info: SampleInfo
    prompt: Prompt
    target: Any = field(repr=False)

    @property
    def sample_id(self) -> str:
        return self.info.sample_id

    def without_target(self) -> UnlabelledSample:
        return UnlabelledSample(self.info, self.prompt)


class HiddenTarget(AttributeError):
    """Code that must not depend on targets has read one."""


@dataclass(frozen=True)
class UnlabelledSample:
    """A sample without its target."""

    info: SampleInfo
    prompt: Prompt

    @property
    def sample_id(self) -> str:
        return self.info.sample_id

    @property
    def target(self) -> NoReturn:
        raise HiddenTarget(f"the target of sample {self.sample_id} is hidden here: use `info` and `prompt`")


@dataclass(frozen=True)
class Score:
    """The score of one answer.

    value: the official score, from 0 to 1. lenient: the same with errors of format forgiven; a diagnostic. format_ok:
    the answer has the form that the prompt asks for. prediction: the part of the answer that was scored. details:
    further columns by name, such as precision and recall.
    """

    value: float
    lenient: float
    format_ok: bool
    prediction: str
    details: Mapping[str, float | str | bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """A judge's reading of one response.

    correct: None if the reply has no verdict. extracted: the final answer that the judge found in the response.
    confidence: 0 to 100, as the response states it; None if the reply has none. reply: the complete reply.
    """

    correct: bool | None
    extracted: str = ""
    reasoning: str = ""
    confidence: float | None = None
    reply: str = ""


# Judges one response: (question, response, correct answer) -> Judgement; `rubric=TEXT` adds rules for the judge.
Judge = Callable[..., Awaitable[Judgement]]
# An answer that needs no understanding, made from a sample's prompt alone.
Constant = Callable[[UnlabelledSample], str]


class Benchmark(Protocol):
    """A data set with its prompt and its score.

    name: as in tables. metric: the name of the official score. scorer: id and version of the scoring code, recorded in
    each run. protected: its texts must not appear in reports, logs or trajectories in the clear.

    A suite may also declare `max_answer_tokens`: answers are cut to that many tokens before they are scored. None, or
    no such attribute, is no limit. `needs_judge`: a run without a judge is refused.
    """

    name: str
    metric: str
    scorer: str
    protected: bool

    def infos(self) -> Sequence[SampleInfo]:
        """All samples in their fixed order, without contexts."""
        ...

    def sample(self, sample_id: str) -> Sample:
        """Build one sample with its context. Raises KeyError for an id that is not in `infos`."""
        ...

    async def score(self, target: Any, answer: str | None, judge: Judge | None = None) -> Score:
        """Score an answer; None is no answer and scores 0. Never raises for any text."""
        ...

    def oracle(self, target: Any) -> str:
        """The best possible answer, in the form that the prompt asks for."""
        ...

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Answers that need no understanding, floods among them; the best of them is the `floor` row.

        samples: all samples of the run, without their targets.
        """
        ...

    def target_of(self, row: Mapping[str, Any]) -> Any:
        """The target that a row of `rlm-eval score` carries. Raises ValueError if rows of this suite cannot."""
        ...

    def target_bytes(self, target: Any) -> bytes:
        """The target as canonical JSON, for its hash and for `rlm-eval data --targets`."""
        ...

    def provenance(self) -> Mapping[str, Any]:
        """The identity of the data: source, revision, generator version, seed, hash of the samples drawn."""
        ...


def target_json(benchmark: Benchmark, target: Any) -> Any:
    """A target as in the rows of `rlm-eval data --targets`. Raises DataError if `target_bytes` gives no JSON."""
    try:
        return json.loads(benchmark.target_bytes(target))
    except (ValueError, TypeError) as error:
        raise DataError(f"benchmark.{benchmark.name}: target_bytes gives no JSON: {one_line(error)}") from error


# No token of the encoding is longer.
_LONGEST_TOKEN = 512


def cut_answer(benchmark: Benchmark, answer: str | None) -> tuple[str | None, bool]:
    """The part of an answer that is scored, and True if it is not the complete answer.

    Generation with an output limit keeps the start of an answer; so does this cut to `max_answer_tokens`.
    """
    most = getattr(benchmark, "max_answer_tokens", None)
    if answer is None or most is None or len(answer) <= most // 4:
        return answer, False
    from rlm.models.tokens import encoder

    # A flood of millions of tokens is not encoded beyond the part that can be kept.
    start = answer[: (most + 1) * _LONGEST_TOKEN].encode("utf-8", "replace").decode()
    tokens = encoder().encode_ordinary(start)
    if len(tokens) <= most:
        return answer, False
    kept = encoder().decode_bytes(tokens[:most]).decode("utf-8", "ignore")
    # Cut from the answer itself, which may hold lone surrogates.
    return answer[: len(kept)], True
