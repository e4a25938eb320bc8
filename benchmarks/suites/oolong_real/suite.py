"""The OOLONG-real benchmark: numbers, texts and lists about the events of a recorded game."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen

from benchmarks.sample import Constant, Judge, Sample, SampleInfo, Score, UnlabelledSample
from benchmarks.sources.hub import GENERATED
from benchmarks.sources.wordlists import made_of
from benchmarks.suites.data import DataSuite, Generated, SuiteData, always
from benchmarks.suites.oolong.prompt import LAYOUT
from benchmarks.suites.oolong_real.generator import EPISODES, FOLDER, GENERATOR, SHORTEST, Table, generated_table
from benchmarks.suites.oolong_real.prompt import query_of
from benchmarks.suites.oolong_real.questions import PLAN, asked_questions
from benchmarks.suites.oolong_real.rows import REVISION, RealRows
from benchmarks.suites.oolong_real.scorer import is_empty, score_answer
from benchmarks.suites.settings import EACH_ONCE, LONGEST, Encoding, SampleCount
from rlm.models.tokens import DEFAULT_ENCODING
from rlm.prompt import Prompt

Lengths = Annotated[tuple[Annotated[int, Ge(SHORTEST), Le(LONGEST)], ...], MinLen(1), EACH_ONCE]
Episodes = Annotated[tuple[Annotated[int, Ge(1), Le(24)], ...], MinLen(1), EACH_ONCE]
# What is cast, and the type of a roll, in most transcripts.
_CAST = re.compile(r"\b(?:casts?|Then) (?:an? |the )?([A-Z][\w']*(?: [A-Z][\w']*)*)")
_CHECK = re.compile(r"\b(?:an? )?(\w+) (?:check|roll)\b", re.IGNORECASE)


class OolongReal(DataSuite):
    """Questions about dice rolls and spells in transcripts. A target is a text, such as `3` or `a, b`.

    source: `generated`, `hub`, or the path of rows of oolong-real. config, split, episodes: of the rows; `episodes` are
    numbers of episodes in a window. lengths: tokens of a complete generated prompt. samples: the number of samples for
    each length, or for each number of episodes; 16 generated questions share a window.
    """

    name = "oolong_real"
    metric = "oolong_real_score"
    scorer = "oolong-real-official-1"
    protected = False
    # Reasoning comes before the box, so a cut would remove it.
    max_answer_tokens = None
    grows_by = ("lengths", "samples")

    def __init__(
        self,
        source: str = GENERATED,
        revision: str = REVISION,
        config: Literal["dnd", "toy_dnd"] = "dnd",
        split: Literal["test", "validation"] = "test",
        episodes: Episodes = (1, 2, 3),
        lengths: Lengths = (65536,),
        samples: SampleCount = 48,
        seed: int = 0,
        encoding: Encoding = DEFAULT_ENCODING,
    ) -> None:
        planned: list[tuple[SampleInfo, tuple[int, int]]] = []
        for index, length in itertools.product(range(samples), lengths):
            number, place = divmod(index, len(PLAN))
            scope = "singledoc" if EPISODES[number % len(EPISODES)] == 1 else "multidoc"
            sample_id, cluster = f"oolong-real-{length}-{number}-{place:02d}", f"window-{length}-{number}"
            planned.append(
                (SampleInfo(sample_id, cluster, f"{scope}_{PLAN[place]}s", "linear", length), (number, place))
            )

        @lru_cache(maxsize=4)
        def window(length: int, number: int) -> tuple[Table, tuple[tuple[str, str], ...]]:
            table = generated_table(length, number, seed, encoding)
            return table, asked_questions(seed, length, number, table)

        def build(info: SampleInfo, plan: tuple[int, int]) -> Sample:
            assert info.length is not None
            table, questions = window(info.length, plan[0])
            question, answer = questions[plan[1]]
            return Sample(info, Prompt(table.text, query_of(question), LAYOUT), answer)

        self._data: SuiteData = (
            RealRows(source, revision, config, split, episodes, samples)
            if source != GENERATED
            else Generated(planned, build, lambda: made_of(FOLDER, GENERATOR, seed, encoding))
        )

    async def score(self, target: str, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_answer, target, answer)

    def oracle(self, target: str) -> str:
        return _box(target)

    def constants(self, samples: Sequence[UnlabelledSample]) -> Sequence[Constant]:
        """Return small numbers, and lists of all values and of all names that follow the words for rolls and spells."""
        return [*(always(_box(str(number))) for number in (0, 1, 2, 3)), always(_box(_VALUES)), all_names]

    def target_of(self, row: Mapping[str, Any]) -> str:
        target = row.get("target")
        text = ", ".join(map(str, target)) if isinstance(target, list) else target
        if isinstance(text, bool) or not isinstance(text, str | int) or is_empty(str(text)):
            raise ValueError(f"target is {target!r:.80}: expected a number, a text, or a list of texts")
        return str(text)

    def target_bytes(self, target: str) -> bytes:
        return json.dumps(target).encode()


_VALUES = ", ".join(map(str, range(1, 21)))


def all_names(sample: UnlabelledSample) -> str:
    """Return a list of everything that may be a spell or a type of roll in the transcripts."""
    text = sample.prompt.context_text
    names = dict.fromkeys([*_CAST.findall(text), *_CHECK.findall(text)])
    return _box(", ".join(names))


def _box(content: str) -> str:
    return f"\\boxed{{{content}}}"
