"""`rlm-eval rescore`: score a run again, with today's scorer or another judge, without calling the method's models."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config.compose import Config, ConfigError, compose, config_hash
from benchmarks.running.journal import Record
from benchmarks.sample import Benchmark

if TYPE_CHECKING:
    from benchmarks.running.harness import SampleCache
    from benchmarks.scoring.judge import LlmJudge


def main(argv: Sequence[str]) -> int:
    """Append the new scores to the journal and write the tables again. Raises ConfigError."""
    parser = argparse.ArgumentParser(
        prog="rlm-eval rescore",
        description="Score a run again from its stored answers. The run keeps its old lines; the newest count.",
    )
    parser.add_argument("run", type=Path, metavar="PATH", help="run folder")
    parser.add_argument("overrides", nargs="*", help="judge=NAME and keys of the judge; default: the run's own judge")
    words = parser.parse_intermixed_args(argv)
    outside = [word for word in words.overrides if not word.lstrip("+~").startswith("judge")]
    if outside:
        raise ConfigError(f"{outside[0]!r}: only the judge can be changed when a run is scored again")
    return asyncio.run(_rescore(words.run, words.overrides))


async def _rescore(path: Path, overrides: Sequence[str]) -> int:
    from benchmarks.running.harness import load_benchmarks
    from benchmarks.running.manifest import price_snapshot
    from benchmarks.running.model_set import ModelSet
    from benchmarks.running.run_folder import RunFolder, read_manifest, refresh_tables
    from rlm.completion import one_line
    from rlm.models.chat import ModelError

    manifest = read_manifest(path)
    config: Config = manifest["config"]
    with RunFolder(path, config | {"resume": True}) as folder:
        if overrides:
            config["judge"] = compose(["benchmark=[sniah]", "method=[base]", *overrides])["judge"]
        benchmarks, _ = load_benchmarks(config)
        old = [record for record in folder.records().values() if record["row"]["benchmark"] in benchmarks]
        models = ModelSet(config, path / "calls.sqlite")
        judge = models.judge()
        try:
            # All of them before the first is written: a judge that fails leaves the run as it was.
            new = await _score_all(old, benchmarks, judge, config["concurrency"]["samples"])
        except ModelError as error:
            raise ConfigError(f"{path} keeps its scores, the judge failed: {one_line(error)}") from error
        finally:
            await models.aclose()
        await asyncio.gather(*map(folder.journal.append, new))
        changed = sum(after["row"]["score"] != before["row"]["score"] for before, after in zip(old, new, strict=True))
        manifest |= {
            "config": config,
            "config_hash": config_hash(config),
            "judge": judge.describe() if judge else None,
            "prices": price_snapshot(config),
        }
        manifest.setdefault("rescored", []).append({"at": time.time(), "changed": changed, "of": len(new)})
        for name, benchmark in benchmarks.items():
            manifest["benchmarks"][name]["scorer"] = benchmark.scorer
        folder.write_manifest(manifest)
    refresh_tables(path)
    print(f"{len(new)} samples scored again, {changed} scores changed")
    print(f"run: {path}")
    return 0


async def _score_all(
    records: Sequence[Record], benchmarks: Mapping[str, Benchmark], judge: LlmJudge | None, at_once: int
) -> list[Record]:
    """The records with new scores, in their order. Raises ConfigError, and ModelError of the judge."""
    from benchmarks.running.harness import SampleCache

    samples, places = SampleCache(benchmarks, keep=at_once), asyncio.Semaphore(at_once)

    async def score_again(record: Record) -> Record:
        async with places:
            return await _score_again(record, benchmarks[record["row"]["benchmark"]], samples, judge)

    tasks = [asyncio.create_task(score_again(record)) for record in records]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _score_again(record: Record, benchmark: Benchmark, samples: SampleCache, judge: LlmJudge | None) -> Record:
    from benchmarks.running.harness import judge_answer, score_columns, with_judged
    from benchmarks.running.rows import SAMPLE_COLUMNS
    from benchmarks.sources.protect import unseal

    row = record["row"]
    try:
        built = await samples.get(row["benchmark"], row["sample_id"])
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"sample {row['sample_id']} of {row['benchmark']} cannot be built: {error}") from error
    if built.target_sha256 != row["target_sha256"]:
        raise ConfigError(
            f"sample {row['sample_id']} of {row['benchmark']} has another target than when the run was made: "
            "the data or their generator have changed"
        )
    answer = None if row["prediction"] is None else unseal(row["prediction"])
    score, judged = await judge_answer(judge, benchmark, built.sample, answer, row["epoch"])
    calls = [call for call in record["calls"] if call["role"] != "judge"]
    # Without the details of the old score, which the new one may not have.
    kept = {name: value for name, value in row.items() if name in SAMPLE_COLUMNS}
    return {"row": kept | score_columns(benchmark, score, row["status"], judged), "calls": with_judged(calls, judged)}
