#!/usr/bin/env python3
"""Scores of answers that need no understanding: the tables "What a cheat earns" of docs/benchmarks*.md.

Run from the checkout: .venv/bin/python scripts/cheat_scores.py [SUITE...]; by default all suites.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.config.compose import compose
from benchmarks.running.reference_rows import Floor, complete_context
from benchmarks.sample import Benchmark, UnlabelledSample, cut_answer
from benchmarks.suites.browsecomp_plus import BrowseCompPlus
from benchmarks.suites.codeqa import CodeQA
from benchmarks.suites.graphwalks import GraphWalks
from benchmarks.suites.graphwalks.prompt import answer_of
from benchmarks.suites.graphwalks.suite import all_nodes
from benchmarks.suites.longbench_v2 import LongBenchV2
from benchmarks.suites.longbench_v2.domains import KEYS
from benchmarks.suites.longcot_mini import LongCoTMini
from benchmarks.suites.mrcr import MRCR
from benchmarks.suites.oolong import Oolong
from benchmarks.suites.oolong.scorer import PHRASES
from benchmarks.suites.oolong.windows import LABELS, written_users
from benchmarks.suites.oolong_pairs import OolongPairs
from benchmarks.suites.oolong_pairs.suite import all_pairs
from benchmarks.suites.oolong_real import OolongReal
from benchmarks.suites.oolong_real.suite import all_names
from benchmarks.suites.ruler import Ruler
from benchmarks.suites.sniah import SNIAH

Cheat = Callable[[UnlabelledSample], str]


def each_number(sample: UnlabelledSample) -> str:
    """All different numbers of the context."""
    return "\n".join(f"Answer: {n}" for n in dict.fromkeys(re.findall(r"\b\d+\b", sample.prompt.context_text)))


def each_user(sample: UnlabelledSample) -> str:
    """All users of the window."""
    return "\n".join(f"User: {user}" for user in dict.fromkeys(written_users(sample.prompt.context_text).tolist()))


def every_year(sample: UnlabelledSample) -> str:
    """All years that an answer may be."""
    return "Exact Answer: " + ", ".join(map(str, range(1100, 2030)))


def every_document(sample: UnlabelledSample) -> str:
    """A wrong answer that cites every document."""
    return " ".join(re.findall(r"^\[Document \d+\]", sample.prompt.context_text, re.MULTILINE))


def frequent_words(sample: UnlabelledSample) -> str:
    """The words that are most frequent in the context."""
    found = Counter(re.findall(r"[^\W\d_]{4,}", sample.prompt.context_text))
    return ", ".join(word for word, _ in found.most_common(20))


def fixed(answer: str) -> Cheat:
    return lambda sample: answer


GENERAL: dict[str, Cheat] = {
    "nothing": fixed(""),
    "the question": lambda sample: sample.prompt.query,
    "the complete context": complete_context,
    "all numbers of the context": each_number,
}
EVERY_LETTER = "\n".join(f"The correct answer is ({letter})" for letter in "ABCD")
OF_SUITE: dict[str, dict[str, Cheat]] = {
    "sniah": {},
    "oolong": {
        "all labels": fixed("\n".join(f"Label: {label}" for label in LABELS)),
        "all comparisons": fixed("Answer: " + ", ".join(PHRASES)),
        "all users": each_user,
    },
    "oolong_pairs": {
        "the empty set": fixed("none"),
        "all users": each_user,
        "all pairs": lambda sample: all_pairs(sample.prompt.context_text),
    },
    "codeqa": {"all letters": fixed(EVERY_LETTER)},
    "longbench_v2": {"all letters": fixed(EVERY_LETTER)},
    "browsecomp_plus": {"all years": every_year, "all citations": every_document},
    "mrcr": {},
    "oolong_real": {"all names": all_names},
    "graphwalks": {
        "the empty set": fixed(answer_of(())),
        "all nodes": lambda sample: answer_of(all_nodes(sample)),
    },
    "ruler": {"the most frequent words": frequent_words},
    "longcot_mini": {"all small numbers": fixed("solution = " + ", ".join(map(str, range(1, 100))))},
}


def suites() -> Iterator[tuple[str, Benchmark]]:
    """The benchmarks that are measured, each with a description of its samples."""
    packages = tuple(
        compose(["benchmark=[codeqa]", "method=[base]", "model=local"]).benchmark["codeqa"].settings["packages"]
    )
    for length in (512, 8192, 65536):
        yield f"S-NIAH, {_short(length)}", SNIAH(lengths=(length,), samples=40)
    for length in (1024, 16384, 131072):
        yield f"OOLONG, {_short(length)}", Oolong(lengths=(length,), samples=50)
    for length in (512, 4096, 32768):
        yield f"OOLONG-Pairs, {_short(length)}", OolongPairs(lengths=(length,), samples=40)
    for length in (1024, 8192):
        yield f"CodeQA, {_short(length)}", CodeQA(lengths=(length,), samples=20, packages=packages)
    yield "BrowseComp-Plus, 50 documents", BrowseCompPlus(documents=(50,), queries=50)
    for length in (2048, 16384, 131072):
        yield f"OOLONG-real, {_short(length)}", OolongReal(lengths=(length,), samples=64)
    for length in (1024, 8192, 131072):
        yield f"MRCR, {_short(length)}", MRCR(lengths=(length,), samples=60)
    for length in (1024, 8192, 131072):
        yield f"GraphWalks, {_short(length)}", GraphWalks(lengths=(length,), samples=40)
    for length in (1024, 8192, 65536):
        yield f"RULER, {_short(length)}", Ruler(lengths=(length,), samples=4)
    texts = tuple(key for key in KEYS if key != "code")
    for length in (1024, 8192):
        yield f"LongBench-v2, {_short(length)}", LongBenchV2(lengths=(length,), samples=100, domains=texts)
    for length in (1024, 8192):
        yield f"LongCoT-Mini, {_short(length)}", LongCoTMini(lengths=(length,), samples=60)


async def measured(benchmark: Benchmark) -> dict[str, tuple[float, float]]:
    """The official and the lenient score of each cheat and of the floor row, in percent."""
    cheats: dict[str, Any] = GENERAL | OF_SUITE[benchmark.name]
    ids = [info.sample_id for info in benchmark.infos()]
    floor = Floor()
    totals = dict.fromkeys((*cheats, "floor"), (0.0, 0.0))
    for sample_id in ids:
        sample = benchmark.sample(sample_id)
        answers = {name: cheat(sample.without_target()) for name, cheat in cheats.items()}
        answers["floor"] = await floor.answer(benchmark, sample, ids)
        for name, answer in answers.items():
            score = await benchmark.score(sample.target, cut_answer(benchmark, answer)[0])
            official, lenient = totals[name]
            totals[name] = official + 100 * score.value / len(ids), lenient + 100 * score.lenient / len(ids)
    return totals


def main() -> None:
    chosen = sys.argv[1:] or list(OF_SUITE)
    columns = {name: asyncio.run(measured(benchmark)) for name, benchmark in suites() if benchmark.name in chosen}
    rows = dict.fromkeys(cheat for column in columns.values() for cheat in column if cheat != "floor")
    print(f"| answer | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for cheat in (*rows, "floor"):
        cells = [_cell(*column[cheat]) if cheat in column else "" for column in columns.values()]
        print(f"| {cheat} | {' | '.join(cells)} |")


def _short(length: int) -> str:
    return f"{length // 1024}K" if length >= 1024 else str(length)


def _cell(official: float, lenient: float) -> str:
    return f"{official:.0f}" if round(official) == round(lenient) else f"{official:.0f} ({lenient:.0f})"


if __name__ == "__main__":
    main()
