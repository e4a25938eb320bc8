"""Sample, Score, Benchmark: what a benchmark offers to the runner, and how an answer is judged."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.sources.files import DataError, one_line
from rlm.prompt import Prompt

if TYPE_CHECKING:
    from benchmarks.scoring.judge import Verdict


@dataclass(frozen=True)
class SampleInfo:
    """What is known of a sample before its context is built. Holds nothing a method must not see.

    cluster: samples with the same value share a context window, so their errors are not independent.
    length: the declared length bucket in tokens, None where the data set has none.
    """

    sample_id: str
    cluster: str
    task_group: str
    complexity: str
    length: int | None = None


@dataclass(frozen=True)
class Sample:
    """A sample with its prompt and its target; the target is for the scorer alone."""

    info: SampleInfo
    prompt: Prompt
    target: Any = field(repr=False)

    @property
    def sample_id(self) -> str:
        return self.info.sample_id


@dataclass(frozen=True)
class Score:
    """The judgement of one answer.

    value: the official score, 0 to 1. lenient: the same with formalities forgiven, a diagnostic. format_ok: the answer
    has the form the prompt asks for. prediction: what was taken from the answer and judged. details: further columns,
    by name, such as precision and recall.
    """

    value: float
    lenient: float
    format_ok: bool
    prediction: str
    details: Mapping[str, float | str | bool | None] = field(default_factory=dict)


# Judges one response: (question, response, correct answer) -> verdict. None where no judge is configured.
Judge = Callable[[str, str, str], Awaitable["Verdict"]]


class Benchmark(Protocol):
    """A data set with its prompt and its score.

    name: as in tables. metric: the name of the official score. scorer: id and version of the scoring code, recorded in
    each run. protected: its texts must not stand in reports, logs or trajectories in the clear.
    """

    name: str
    metric: str
    scorer: str
    protected: bool

    def infos(self) -> Sequence[SampleInfo]:
        """All samples in their fixed order, without contexts."""
        ...

    def sample(self, sample_id: str) -> Sample:
        """Build one sample, context included. Raises KeyError for an id that is not in `infos`."""
        ...

    async def score(self, target: Any, answer: str | None, judge: Judge | None = None) -> Score:
        """Judge an answer; None is no answer and scores 0. Never raises for any text."""
        ...

    def oracle(self, target: Any) -> str:
        """The best possible answer, in the form the prompt asks for."""
        ...

    def constants(self, samples: Sequence[Sample]) -> Sequence[Callable[[Sample], str]]:
        """Answers that need no understanding, each a function of the sample's prompt; the floor is the best of them."""
        ...

    def target_of(self, row: Mapping[str, Any]) -> Any:
        """The target that a row of `rlm-eval score` carries itself. Raises ValueError where rows cannot."""
        ...

    def target_bytes(self, target: Any) -> bytes:
        """The target as JSON in a canonical form, for its hash and for `rlm-eval data --targets`."""
        ...

    def provenance(self) -> Mapping[str, Any]:
        """What identifies the data: source, revision, generator version, seed, hash of what was chosen."""
        ...


def target_json(benchmark: Benchmark, target: Any) -> Any:
    """A target as rows of `rlm-eval data --targets` have it. Raises DataError where `target_bytes` gives no JSON."""
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
