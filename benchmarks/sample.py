"""Samples, scores and the Benchmark protocol: the interface between a suite and the runner."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from benchmarks.sources.files import DataError
from rlm.completion import one_line
from rlm.prompt import Prompt
from rlm.surrogates import without_surrogates


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

    value: the official score, from 0 to 1. lenient: a diagnostic score that ignores errors of format. format_ok: the
    answer has the form that the prompt asks for. prediction: the part of the answer that was scored. details: further
    columns by name, such as precision and recall.
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
    confidence: the confidence that the response states, 0 to 100; None if the reply has none. reply: the complete
    reply.
    """

    correct: bool | None
    extracted: str = ""
    reasoning: str = ""
    confidence: float | None = None
    reply: str = ""


# Judges one response: (question, response, correct answer) -> Judgement; `rubric=TEXT` adds rules for the judge.
Judge = Callable[..., Awaitable[Judgement]]
# An answer that needs no understanding, made only from a sample's prompt.
Constant = Callable[[UnlabelledSample], str]


class Benchmark(Protocol):
    """A data set with its prompt and its score.

    name: the name in tables. metric: the name of the official score. scorer: id and version of the scoring code,
    recorded in each run. protected: its texts must not appear in plain text in reports, logs or trajectories.

    A suite may also declare `max_answer_tokens`, to which answers are cut before they are scored. None, or a missing
    attribute, is no limit. `needs_judge`: a run without a judge is refused. `grows_by`: the names of settings, integers
    or lists, for which a larger value keeps all former samples unchanged and adds further ones.
    """

    name: str
    metric: str
    scorer: str
    protected: bool

    def infos(self) -> Sequence[SampleInfo]:
        """Return all samples in their fixed order, without contexts."""
        ...

    def sample(self, sample_id: str) -> Sample:
        """Build one sample with its context. Raises KeyError for an id that is not in `infos`."""
        ...

    async def score(self, target: Any, answer: str | None, judge: Judge | None = None) -> Score:
        """Score an answer. None, a missing answer, scores 0. Never raises for any text."""
        ...

    def oracle(self, target: Any) -> str:
        """Return the best possible answer, in the form that the prompt asks for."""
        ...

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return answers that need no understanding, including floods. The best of them is the `floor` row.

        samples: all samples of the run, without their targets.
        """
        ...

    def target_of(self, row: Mapping[str, Any]) -> Any:
        """Return the target in a row of `rlm-eval score`. Raises ValueError if rows of this suite cannot hold one."""
        ...

    def target_bytes(self, target: Any) -> bytes:
        """Return the target as canonical JSON, for its hash and for `rlm-eval data --targets`."""
        ...

    def provenance(self) -> Mapping[str, Any]:
        """Return the identity of the data: source, revision, generator version, seed, hash of the drawn samples."""
        ...


def target_json(benchmark: Benchmark, target: Any) -> Any:
    """Return a target as in the rows of `rlm-eval data --targets`. Raises DataError if `target_bytes` is not JSON."""
    try:
        return json.loads(benchmark.target_bytes(target))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"benchmark.{benchmark.name}: target_bytes() returned invalid JSON: {one_line(error)}"
        ) from error


# The encoding has no longer token.
_LONGEST_TOKEN = 512
# The number of characters of an answer that are scored and stored in its row, for any suite.
LONGEST_ANSWER = 4 << 20


def cut_answer(benchmark: Benchmark, answer: str | None) -> tuple[str | None, bool]:
    """Return the part of an answer that is scored, and True if it is not the complete answer.

    Like generation with an output limit, this cut to `max_answer_tokens` keeps the start of an answer. Of an answer
    without such a limit, the first LONGEST_ANSWER characters are kept.
    """
    if answer is not None and len(answer) >= LONGEST_ANSWER:
        return cut_answer(benchmark, answer[: LONGEST_ANSWER - 1])[0], True
    most = getattr(benchmark, "max_answer_tokens", None)
    if answer is None or most is None or len(answer) <= most // 4:
        return answer, False
    from rlm.models.tokens import encoder

    # Only the part of a flood that can be kept is encoded.
    start = without_surrogates(answer[: (most + 1) * _LONGEST_TOKEN])
    tokens = encoder().encode_ordinary(start)
    if len(tokens) <= most:
        return answer, False
    kept = encoder().decode_bytes(tokens[:most]).decode("utf-8", "ignore")
    # Cut from the original answer, which may hold lone surrogates.
    return answer[: len(kept)], True
