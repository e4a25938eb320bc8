"""`rlm-eval rescore`: scores a run again, with the current scorer or another judge, without calling its models."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.commands.parser import Parser
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import read_recorded

SECTIONS = ("judge", "budget", "concurrency")


def main(argv: Sequence[str]) -> int:
    """Append the new scores to the journal and write the tables again. Raises ConfigError."""
    parser = Parser(
        prog="rlm-eval rescore",
        description="Score a run again from its stored answers. The journal keeps old scores; the newest count.",
    )
    parser.add_argument("run", type=Path, metavar="PATH", help="run folder")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="judge=NAME, keys of judge, budget and concurrency; default: those of the run",
    )
    words = parser.parse_intermixed_args(argv)
    for word in words.overrides:
        if _section(word) not in SECTIONS:
            raise ConfigError(f"{word!r}: expected a key of {', '.join(SECTIONS)}; a rescored run keeps all others")
    return asyncio.run(_rescore(words.run, words.overrides))


def _section(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition(".")[0]


async def _rescore(path: Path, overrides: Sequence[str]) -> int:
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
            with Busy(f"scoring {len(old)} samples"):
                new = await rescoring.rescore(old)
        except RescoringStopped as stopped:
            print(f"rlm-eval: {path} keeps its scores: {stopped}", file=sys.stderr)
            return 1 if stopped.resumable else 2
        finally:
            await models.aclose()
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
    print(f"{len(new)} samples scored again, {changed} scores changed")
    print(f"run: {path}")
    return 0
