"""S-NIAH: one needle sentence in a haystack of any length, after RULER's single-needle tasks."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sample import Judge, Sample, SampleInfo, Score
from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.sources.hub import GENERATED, HUB, ID, HubData, Source
from benchmarks.sources.settings import LONGEST, MOST, known_encoding, whole, wholes
from benchmarks.sources.wordlists import texts_sha256, word_lists
from benchmarks.suites.sniah.haystack import NOISE, PROSE, hide, material
from rlm.models.tokens import DEFAULT_ENCODING, count_tokens
from rlm.prompt import CONTEXT_MARK, QUERY_MARK, Prompt

# RULER's names for haystack and value, and the fourth combination, for which it has none.
VARIANTS = {
    "single_1": (NOISE, "number"),
    "single_2": (PROSE, "number"),
    "single_3": (PROSE, "uuid"),
    "noise_uuid": (NOISE, "uuid"),
}
FOLDER = Path(__file__).parent
DEPTHS = 40
SHORTEST = 256
GENERATOR = "sniah-generated-1"
_KEY = "benchmark.sniah"

# The columns of RULER that are read, with their types.
_KINDS = {"index": ID, "input": str, "outputs": (list, str, int), "length": int}

_HEAD = "The text below hides one special magic {kind}. Remember it while reading: a question about it follows."
_QUERY = "Which special magic {kind} does the text above give for {key}? Reply with that {kind}."
_NEEDLE = "One of the special magic {kind}s for {key} is: {value}."
_NUMBER = re.compile(r"(?<!\d)\d{7}(?!\d)")
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)


class SNIAH:
    """Single needle in a haystack. Targets are the value, as a string.

    source: `generated`, or the path of RULER rows {index, input, outputs, length}. variants: names of VARIANTS, taken
    in turn. lengths: tokens of the whole prompt, filled up to the last sentence that fits. samples: for each length.
    Raises ValueError for settings that cannot be met.
    """

    name = "sniah"
    metric = "substring"
    scorer = "sniah-substring-1"
    protected = False

    def __init__(
        self,
        source: str = GENERATED,
        variants: Sequence[str] = ("single_1", "single_2", "single_3"),
        lengths: Sequence[int] = tuple(2**k for k in range(13, 21)),
        samples: int = 50,
        seed: int = 0,
        encoding: str = DEFAULT_ENCODING,
    ) -> None:
        self._seed, self._encoding = seed, known_encoding(f"{_KEY}.encoding", encoding)
        self._source: Source | None = None
        self._rows: dict[str, tuple[str, str]] = {}
        self._plan: dict[str, tuple[SampleInfo, str, int]] = {}
        if source == GENERATED:
            self._plan_samples(variants, lengths, samples)
        elif source == HUB:
            raise ValueError("S-NIAH has no hub data set: source is 'generated' or the path of RULER rows")
        else:
            self._source = Source(source, HubData("RULER niah_single", "local"), f"{_KEY}.source")

    def infos(self) -> Sequence[SampleInfo]:
        self._load_rows()
        return [info for info, _, _ in self._plan.values()]

    def sample(self, sample_id: str) -> Sample:
        self._load_rows()
        info, variant, index = self._plan[sample_id]
        if self._source is not None:
            return self._row_sample(info)
        haystack, kind = VARIANTS[variant]
        draws = Draws(self._seed, self.name, variant, info.length, index)
        key = "-".join(draws.pick(words) for words in word_lists(FOLDER / "keys.txt").values())
        value = _value(kind, draws)
        head, query = _HEAD.format(kind=kind) + "\n", _QUERY.format(kind=kind, key=key)
        needle = _NEEDLE.format(kind=kind, key=key, value=value)
        context = hide(
            material(haystack, self._seed, self._encoding),
            needle,
            depth_percent(info.length, index, self._seed),
            draws,
            after="\n" + query,
            budget=info.length - count_tokens(head, self._encoding),
            encoding=self._encoding,
        )
        return Sample(
            info, Prompt(context, query, ({"role": "user", "content": f"{head}{CONTEXT_MARK}\n{QUERY_MARK}"},)), value
        )

    async def score(self, target: str, answer: str | None, judge: Judge | None = None) -> Score:
        return await asyncio.to_thread(score_needle, target, answer or "")

    def oracle(self, target: str) -> str:
        return target

    def constants(self, samples: Sequence[Sample]) -> Sequence[Callable[[Sample], str]]:
        return [lambda _: "1000000", lambda sample: sample.prompt.query]

    def target_of(self, row: Mapping[str, Any]) -> str:
        target = row.get("target")
        if isinstance(target, list) and len(target) == 1:
            target = target[0]
        if isinstance(target, str | int) and not isinstance(target, bool) and str(target).strip():
            return str(target)
        raise ValueError(f"an S-NIAH row's target is the hidden value as a string, not {target!r:.80}")

    def target_bytes(self, target: str) -> bytes:
        return json.dumps(target).encode()

    def provenance(self) -> Mapping[str, Any]:
        if self._source is not None:
            return self._source.identity()
        made_of = {"generator": GENERATOR, "texts_sha256": texts_sha256(FOLDER.glob("*.txt"))}
        return {"source": GENERATED, **made_of, "seed": self._seed, "encoding": self._encoding}

    def _plan_samples(self, variants: Sequence[str], lengths: Sequence[int], samples: int) -> None:
        variants = [variants] if isinstance(variants, str) else variants
        if not variants or any(variant not in VARIANTS for variant in variants):
            raise ValueError(f"variants is {variants!r}: wanted some of {', '.join(VARIANTS)}")
        lengths = wholes(f"{_KEY}.lengths", lengths, SHORTEST, LONGEST)
        samples = whole(f"{_KEY}.samples", samples, 1, MOST)
        for index, length in itertools.product(range(samples), lengths):
            variant = variants[index % len(variants)]
            sample_id = f"sniah-{variant}-{length}-{index:03d}"
            self._plan[sample_id] = (SampleInfo(sample_id, sample_id, variant, "constant", length), variant, index)

    def _load_rows(self) -> None:
        if self._source is None or self._plan:
            return
        for row in self._source.rows(tuple(_KINDS), kinds=_KINDS):
            values = row["outputs"] if isinstance(row["outputs"], list) else [row["outputs"]]
            if len(values) != 1 or not str(values[0]).strip() or not isinstance(values[0], str | int):
                raise DataError(
                    f"{self._source.origin}: row {row['index']} has the outputs {values!r:.60}, wanted one hidden value"
                )
            sample_id = f"ruler-{row['index']}"
            if sample_id in self._rows:
                sample_id += f"-{len(self._rows)}"
            self._rows[sample_id] = (row["input"], str(values[0]))
            info = SampleInfo(sample_id, sample_id, "ruler", "constant", row["length"])
            self._plan[sample_id] = (info, "ruler", len(self._rows))

    def _row_sample(self, info: SampleInfo) -> Sample:
        text, value = self._rows[info.sample_id]
        head, _, rest = text.partition("\n")
        context, _, query = rest.rpartition("\n")
        if not context:
            return Sample(info, Prompt(text), value)
        # The head is the row's own text: what looks like a mark of the layout in it must not be filled.
        for mark in (CONTEXT_MARK, QUERY_MARK):
            head = head.replace(mark, mark.strip("{}"))
        layout = ({"role": "user", "content": f"{head}\n{CONTEXT_MARK}\n{QUERY_MARK}"},)
        return Sample(info, Prompt(context, query, layout), value)


def depth_percent(length: int, index: int, seed: int) -> int:
    """Where the needle stands, in percent: RULER's 40 even depths, in an order whose every prefix is spread out."""
    first = Draws(seed, "depth", length).below(DEPTHS)
    step = _SPREAD[(first + index) % DEPTHS]
    return (200 * step + DEPTHS - 1) // (2 * (DEPTHS - 1))


def score_needle(target: str, answer: str) -> Score:
    """RULER's score: 1 where the answer contains the value, in any case of letters.

    Lenient forgives separators inside the value. format_ok: the answer gives one value of the target's kind, and no
    other. details: `exact`, the answer is the value and nothing else.
    """
    value = target.lower()
    pattern = _UUID if _UUID.fullmatch(target) else _NUMBER
    found = list(dict.fromkeys(match.group().lower() for match in pattern.finditer(answer)))
    right = float(value in answer.lower())
    lenient = max(right, float(_bare(value) in _bare(answer)))
    prediction = found[0] if len(found) == 1 else answer.strip()[:200]
    exact = answer.strip().lower() == value
    return Score(right, lenient, len(found) == 1, prediction, {"exact": float(exact)})


def _bare(text: str) -> str:
    return re.sub(r"[\s,._'-]", "", text.lower())


def _value(kind: str, draws: Draws) -> str:
    if kind == "number":
        return str(draws.between(1_000_000, 9_999_999))
    digits = "".join(f"{draws.below(1 << 32):08x}" for _ in range(4))
    # Version and variant digits of a random uuid.
    digits = f"{digits[:12]}4{digits[13:16]}{'89ab'[draws.below(4)]}{digits[17:]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# Bit reversal: each half, quarter and eighth of the depths comes early.
_SPREAD = sorted(range(DEPTHS), key=lambda i: f"{i:06b}"[::-1])
