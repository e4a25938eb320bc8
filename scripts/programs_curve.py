#!/usr/bin/env python3
"""Plot the score of rlm_selfconsistency against the number of programs K, with 95% intervals.

With RUN, a finished run: the programs of its samples are chosen from again, K at a time in their order, and the chosen
answers are scored; no model is called. Without RUN: S-NIAH with a scripted root that is right with a probability of its
own for each sample and states a confidence that is higher on average where it is right. Prints a Markdown table and
writes FOLDER/programs.png, .svg and .csv.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import read_recorded
from benchmarks.export.tables import read_run
from benchmarks.report.figures.style import drawing, save
from benchmarks.report.tables.formats import markdown
from benchmarks.running.run_files import read_trajectory
from benchmarks.running.samples import load_benchmarks
from benchmarks.sample import Benchmark
from benchmarks.statistics import mean_interval
from benchmarks.suites.sniah import SNIAH
from rlm.methods.method import Answer
from rlm.methods.selfconsistency import RLMSelfConsistency
from rlm.methods.selfconsistency.selection import Program, choose
from rlm.models.chat import Reply, TokenUsage
from rlm.models.scripted import ScriptedModel

CHOSEN, BEST = "chosen", "best of K"


@dataclass(frozen=True)
class Programs:
    """The programs of one sample and their scores. cluster: samples with the same value share a context."""

    programs: Sequence[Program]
    scores: Sequence[float]
    cluster: str


class ScriptedRoot(ScriptedModel):
    """Answers at once: right with the probability of the sample, wrong in one of four ways otherwise."""

    def __init__(self, targets: Mapping[str, str], seed: int) -> None:
        super().__init__([], "scripted")
        self._targets = targets
        self._seed = seed

    async def complete(self, messages: Any, *, epoch: int = 0, occurrence: int = 0) -> Reply:
        query = next(query for query in self._targets if query in messages[1]["content"])
        right_share = random.Random(f"{self._seed} {query}").betavariate(2, 2)
        rng = random.Random(f"{self._seed} {query} {epoch}")
        is_right = rng.random() < right_share
        answer = self._targets[query] if is_right else f"wrong {rng.randrange(4)}"
        confidence = min(99, max(1, round(rng.gauss(75 if is_right else 60, 15))))
        usage = TokenUsage(completion_tokens=round(rng.gauss(300 if is_right else 400, 100)))
        return Reply(f"CONFIDENCE: {confidence}\nFINAL({answer})", usage=usage)


async def scripted(samples: int, k: int, seed: int) -> list[Programs]:
    """Return the programs of a scripted root for samples of S-NIAH."""
    suite = SNIAH(lengths=(512,), samples=samples, seed=seed)
    built = [suite.sample(info.sample_id) for info in suite.infos()]
    root = ScriptedRoot({sample.prompt.query: sample.target for sample in built}, seed)
    method = RLMSelfConsistency(model=root, k=k, prompt="recursive/compact-v1")
    found = []
    for sample in built:
        result = await method.acompletion(sample.prompt)
        found.append(await scored(suite, sample.target, result.trajectory.events, sample.info.cluster))
    return found


async def of_run(path: Path) -> list[Programs]:
    """Return the programs of a run's samples. Raises ConfigError."""
    run = read_run(path)
    rows = run.samples
    rows = rows[rows["programs"].notna() & ~rows["protected"]] if "programs" in rows else rows.iloc[:0]
    config = read_recorded(run.manifest["config"])
    suites, _ = load_benchmarks(config)
    rows = rows[[not getattr(suites[name], "needs_judge", False) for name in rows["benchmark"]]]
    if not len(rows):
        raise ConfigError(f"{path} has no sample with several programs that is scored without a judge")
    return [
        await scored(
            suites[row["benchmark"]], suites[row["benchmark"]].sample(row["sample_id"]).target,
            read_trajectory(path, row["trajectory"]), row["cluster"],
        )
        for row in rows.to_dict("records")
    ]  # fmt: skip


async def scored(suite: Benchmark, target: Any, events: Sequence[Mapping[str, Any]], cluster: str) -> Programs:
    """Read the programs of a trajectory and score their answers."""
    (selection,) = (event for event in events if event["kind"] == "selection")
    programs = [
        Program(one["number"], Answer(one["answer"]), tuple(one["confidences"]), one["tokens"])
        for one in selection["programs"]
    ]
    scores = {answer: (await suite.score(target, answer)).value for answer in {one.answer.text for one in programs}}
    return Programs(programs, [scores[one.answer.text] for one in programs], cluster)


def curve(samples: Sequence[Programs], sizes: Sequence[int]) -> pd.DataFrame:
    """Return a row for each K and rule, with the mean score and its interval in percent."""
    rows = []
    for k in sizes:
        chosen = [one.scores[choose(one.programs[:k]).program.number] for one in samples]
        for rule, scores in ((CHOSEN, chosen), (BEST, [max(one.scores[:k]) for one in samples])):
            found = mean_interval(scores, [one.cluster for one in samples])
            percent = {name: round(100 * getattr(found, name), 1) for name in ("estimate", "low", "high")}
            rows.append({"K": k, "rule": rule, "score": percent.pop("estimate"), **percent, "n": found.n})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, folder: Path) -> None:
    """Write the figure and the table's values."""
    with drawing() as plt:
        figure, axes = plt.subplots(figsize=(4.6, 3.2))
        for rule, line in ((CHOSEN, "o-"), (BEST, "s--")):
            part = table[table["rule"] == rule]
            axes.plot(part["K"], part["score"], line, label=rule)
            axes.fill_between(part["K"], part["low"], part["high"], alpha=0.15, linewidth=0)
        axes.set(xscale="log", xlabel="programs K", ylabel="score, %", ylim=(0, 100))
        axes.set_xticks(sorted(set(table["K"])), [str(k) for k in sorted(set(table["K"]))], minor=False)
        axes.set_xticks([], minor=True)
        axes.legend(loc="lower right")
        save(figure, folder, "programs")
    table.to_csv(folder / "programs.csv", index=False)


def main() -> int:
    """Make the table and the figure. An unusable run is exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="run folder with method rlm_selfconsistency")
    parser.add_argument("--samples", type=int, default=60, help="samples of the scripted root")
    parser.add_argument("--k", type=int, default=16, help="programs of the scripted root")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("programs_curve"), metavar="FOLDER")
    words = parser.parse_args()
    try:
        samples = asyncio.run(of_run(words.run) if words.run else scripted(words.samples, words.k, words.seed))
    except ConfigError as error:
        print(f"programs_curve: {error}", file=sys.stderr)
        return 2
    most = min(len(one.programs) for one in samples)
    sizes = sorted({most, *(2**power for power in range(most.bit_length()))})
    table = curve(samples, sizes)
    words.out.mkdir(parents=True, exist_ok=True)
    draw(table, words.out)
    print(markdown(table))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
