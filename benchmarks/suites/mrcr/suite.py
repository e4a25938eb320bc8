"""The MRCR benchmark: repeat one of 2, 4 or 8 pieces of writing that answer equal requests in a conversation."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.sources.hub import GENERATED
from benchmarks.sources.wordlists import made_of
from benchmarks.suites.data import DataSuite, Generated, SuiteData
from benchmarks.suites.mrcr.generator import FOLDER, GENERATOR, SHORTEST, generated_sample
from benchmarks.suites.mrcr.rows import BINS, REVISION, MrcrRows
from benchmarks.suites.mrcr.scorer import MAX_ANSWER_TOKENS, MrcrTarget, score_answer
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from rlm.models.tokens import DEFAULT_ENCODING

Needles = Annotated[tuple[Literal[2, 4, 8], ...], MinLen(1), EACH_ONCE]
Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]
# The characters with which an answer begins, in the question.
_PREFIX = re.compile(r"(?:[Pp]repend|[Bb]egin your reply with) (\w+)")


class MRCR(DataSuite):
    """Pieces of writing that answer equal requests in a conversation. A target is an MrcrTarget.

    source: `generated`, `hub`, or the path of rows of openai/mrcr. needles: numbers of equal requests, in turn.
    lengths: the tokens of the messages and of the right answer together; for rows, the upper bounds of the official
    bins. samples: the number of samples for each length.
    """

    name = "mrcr"
    metric = "sequence_ratio"
    scorer = "mrcr-ratio-1"
    protected = False
    max_answer_tokens = MAX_ANSWER_TOKENS
    grows_by = ("lengths", "samples")

    def __init__(
        self,
        source: str = GENERATED,
        revision: str = REVISION,
        needles: Needles = (2, 4, 8),
        lengths: Lengths = BINS,
        samples: SampleCount = 30,
        seed: int = 0,
        encoding: Encoding = DEFAULT_ENCODING,
    ) -> None:
        planned: list[tuple[SampleInfo, tuple[int, int, int]]] = []
        for index, length in itertools.product(range(samples), lengths):
            number = needles[index % len(needles)]
            sample_id = f"mrcr-{number}needles-{length}-{index:03d}"
            info = SampleInfo(sample_id, sample_id, f"{number}_needles", "constant", length)
            planned.append((info, (length, number, index)))

        def build(info: SampleInfo, plan: tuple[int, int, int]) -> Sample:
            return generated_sample(info, *plan, seed, encoding)

        self._data: SuiteData = (
            MrcrRows(source, revision, needles, lengths, samples)
            if source != GENERATED
            else Generated(planned, build, lambda: made_of(FOLDER, GENERATOR, seed, encoding))
        )

    async def score(self, target: MrcrTarget, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_answer, target, answer)

    def oracle(self, target: MrcrTarget) -> str:
        return target.answer

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return, after the prefix, the first and the last piece of the conversation, and a flood of all pieces."""
        return [_first_piece, _last_piece, _all_pieces]

    def target_of(self, row: Mapping[str, Any]) -> MrcrTarget:
        target = row.get("target")
        answer, prefix = (target.get(key) if isinstance(target, Mapping) else None for key in ("answer", "prefix"))
        if not isinstance(answer, str) or not isinstance(prefix, str) or not prefix or not answer.startswith(prefix):
            raise ValueError(
                f"target is {target!r:.80}: expected an object with answer and prefix, where the answer begins with it"
            )
        return MrcrTarget(answer, prefix)

    def target_bytes(self, target: MrcrTarget) -> bytes:
        return json.dumps({"answer": target.answer, "prefix": target.prefix}).encode()


def _first_piece(sample: UnlabelledSample) -> str:
    return _prefix(sample) + _pieces(sample)[0]


def _last_piece(sample: UnlabelledSample) -> str:
    return _prefix(sample) + _pieces(sample)[-1]


def _all_pieces(sample: UnlabelledSample) -> str:
    return _prefix(sample) + "\n".join(_pieces(sample))


def _prefix(sample: UnlabelledSample) -> str:
    found = _PREFIX.search(sample.prompt.query)
    return found[1] if found else ""


def _pieces(sample: UnlabelledSample) -> list[str]:
    return [turn["content"] for turn in sample.prompt.history if turn["role"] == "assistant"] or [""]
