"""`rlm-eval rescore`: scores a run again, with the current scorer or another judge, without calling its models."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.commands.parser import Parser
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import read_recorded
from rlm.terminal import counted

if TYPE_CHECKING:
    from benchmarks.running.journal import Record
    from benchmarks.scoring.judge import LlmJudge

SECTIONS = ("judge", "budget", "concurrency")


def main(argv: Sequence[str]) -> int:
    """Append the new scores to the journal and write the tables again. Raises ConfigError."""
    parser = Parser(
        prog="rlm-eval rescore",
        description="Score a run again from its stored answers. The journal keeps old scores; the newest count. "
        "With --also, another judge reads the answers too, and the run keeps its scores.",
    )
    parser.add_argument("run", type=Path, metavar="PATH", help="run folder")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="judge=NAME, keys of judge, budget and concurrency; default: those of the run",
    )
    parser.add_argument(
        "--also",
        action="store_true",
        help="keep the run's scores, and print the agreement with the judge of the overrides; it is kept in judges/",
    )
    words = parser.parse_intermixed_args(argv)
    for word in words.overrides:
        if _section(word) not in SECTIONS:
            raise ConfigError(f"{word!r}: expected a key of {', '.join(SECTIONS)}; a rescored run keeps all others")
    if words.also and not any(_section(word) == "judge" for word in words.overrides):
        raise ConfigError("--also: expected a second judge, such as judge=gpt_4_1")
    return asyncio.run(_rescore(words.run, words.overrides, also=words.also))


def _section(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition(".")[0]


async def _rescore(path: Path, overrides: Sequence[str], *, also: bool) -> int:
    from benchmarks.running.budget import check_judge_prices, run_budget
    from benchmarks.running.busy import Busy
    from benchmarks.running.manifest import price_snapshot, read_manifest
    from benchmarks.running.model_set import ModelSet
    from benchmarks.running.rescoring import Rescoring, RescoringStopped
    from benchmarks.running.run_folder import RunFolder
    from benchmarks.running.samples import load_benchmarks
    from benchmarks.running.scoring import Scorer
    from benchmarks.running.tables import refresh_tables
    from benchmarks.sources.protect import unseal

    manifest = read_manifest(path)
    if not manifest.get("config") or not manifest.get("benchmarks"):
        raise ConfigError(f"{path / 'run.json'} has no config or no benchmarks: expected those of `rlm-eval run`")
    config = replace(read_recorded(manifest["config"]), resume=True)
    with RunFolder(path, config) as folder:
        composed = compose(["benchmark=[sniah]", "method=[base]", *overrides]).plain
        changed_sections = {name: composed[name] for name in map(_section, overrides)}
        config = read_recorded({**config.plain, **changed_sections})
        check_judge_prices(config)
        benchmarks, _ = load_benchmarks(config)
        models = ModelSet(config, path / "calls.sqlite")
        judge = models.judge()
        rescoring = Rescoring(benchmarks, Scorer(judge, run_budget(config)), config.concurrency.samples)
        records = folder.records().values()
        old = [record for record in records if rescoring.applies_to(record)]
        try:
            if also:
                old = _for_second_judge(path, manifest, judge, old)
            with Busy(f"scoring {counted(len(old), 'sample')}"):
                new = await rescoring.rescore(old)
        except RescoringStopped as stopped:
            print(f"rlm-eval: {path} keeps its scores: {stopped}", file=sys.stderr)
            return 1 if stopped.resumable else 2
        finally:
            await models.aclose()
        if also and judge is not None:
            return _keep_second(path, judge.describe(), new)
        await asyncio.gather(*map(folder.journal.append, new))
        changed = sum(after.row.score != before.row.score for before, after in zip(old, new, strict=True))
        manifest |= {
            "config": config.plain,
            "config_hash": config.hash,
            "judge": judge.describe() if judge else None,
            "prices": price_snapshot(config),
        }
        manifest.setdefault("rescored", []).append({"at": time.time(), "changed": changed, "of": len(new)})
        for name, benchmark in benchmarks.items():
            manifest["benchmarks"][name]["scorer"] = benchmark.scorer
        folder.write_manifest(manifest)
    targets = {record.row.target_sha256: unseal(record.row.target) for record in new if record.row.target}
    refresh_tables(path, targets)
    print(f"{counted(len(new), 'sample')} scored again, {counted(changed, 'score')} changed")
    print(f"run: {path}")
    return 0


def _for_second_judge(
    path: Path, manifest: Mapping[str, Any], judge: LlmJudge | None, records: Sequence[Record]
) -> list[Record]:
    """Return the records that the run's judge has scored. Raises ConfigError if there are none or for that judge."""
    from benchmarks.running.second_judge import is_judged, judge_label

    if judge is None:
        raise ConfigError("judge is none: expected a second judge, such as judge=gpt_4_1")
    own = manifest.get("judge")
    if own == json.loads(json.dumps(judge.describe(), default=str)):
        raise ConfigError(f"judge is {judge_label(judge.describe())}, the run's own: expected another judge")
    judged = [record for record in records if is_judged(record)]
    if not judged:
        raise ConfigError(
            f"{path} has no sample that a judge has scored: score it first, with `rlm-eval rescore {path} judge=NAME`"
        )
    return judged


def _keep_second(path: Path, described: Mapping[str, Any], records: Sequence[Record]) -> int:
    """Write the verdicts of a second judge and print the table of both judges."""
    from benchmarks.report.runs import load_runs
    from benchmarks.report.tables.display import without_common_model
    from benchmarks.report.tables.formats import markdown
    from benchmarks.report.tables.second_judge import load_verdicts, second_judge_display, second_judge_table
    from benchmarks.running.second_judge import judge_label, write_verdicts

    file = write_verdicts(path, described, records)
    runs, label = load_runs([path]), judge_label(described)
    verdicts = load_verdicts(runs)
    table = second_judge_table(runs.samples, verdicts[verdicts["file"] == file.stem])
    print(markdown(without_common_model(second_judge_display(table))), end="")
    dollars = sum(record.row.judge_cost_usd for record in records)
    print(f"{len(records)} answers judged by {label} for ${dollars:.4f}; the run keeps its scores")
    print(f"wrote: {file}")
    print(f"run: {path}")
    return 0
