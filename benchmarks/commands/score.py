"""`rlm-eval score`: score predictions that were made elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import io
import json
import math
import sys
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from benchmarks.config.compose import Config, ConfigError, compose
from benchmarks.running.model_set import ModelSet
from benchmarks.sample import Benchmark, target_json
from benchmarks.sources.protect import HIDDEN
from rlm.models.chat import ModelError

if TYPE_CHECKING:
    from benchmarks.scoring.judge import LlmJudge


def main(argv: Sequence[str]) -> int:
    """Print each row with its score, and a summary on standard error. Raises ConfigError for a row that is wrong."""
    parser = argparse.ArgumentParser(
        prog="rlm-eval score",
        description="Score a JSON-lines file of predictions: rows {sample_id, prediction} refer to the samples of the "
        "configured source; rows {prediction, target, answer_type} carry their own target.",
    )
    parser.add_argument("benchmark", help="name of a benchmark, see `rlm-eval list`")
    parser.add_argument("file", type=Path, help="predictions, one JSON object a line; - is standard input")
    parser.add_argument("overrides", nargs="*", help="configuration, as for `rlm-eval run`")
    words = parser.parse_intermixed_args(argv)
    config = compose([f"benchmark=[{words.benchmark}]", "method=[base]", *words.overrides])
    return asyncio.run(_score_file(config, words.benchmark, words.file))


async def _score_file(config: Config, name: str, file: Path) -> int:
    scores, sample_ids = [], []
    models = ModelSet(config, None)
    try:
        async for row in score_rows(config, name, read_rows(file), models.judge()):
            print(json.dumps(row))
            scores.append(row["score"])
            sample_ids += [str(row["sample_id"])] if row.get("sample_id") is not None else []
    finally:
        await models.aclose()
    if not scores:
        raise ConfigError(f"{file} has no rows: wanted one JSON object a line")
    repeated = len(sample_ids) - len(set(sample_ids))
    told = f"; {repeated} of them are of a sample that an earlier row is of: each row counts" if repeated else ""
    print(f"{len(scores)} rows, mean score {sum(scores) / len(scores):.4f}{told}", file=sys.stderr)
    return 0


async def score_rows(
    config: Config, name: str, rows: Iterator[tuple[str, Mapping[str, Any]]], judge: LlmJudge | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Score rows that come with where they stand (`FILE line N`), in their order. Raises ConfigError."""
    from benchmarks.running.harness import load_benchmarks

    benchmarks, infos = load_benchmarks(config)
    benchmark = benchmarks[name]
    for where, row in rows:
        target = _target(benchmark, infos[name], row, where)
        prediction = row.get("prediction")
        if prediction is not None and not isinstance(prediction, str):
            raise ConfigError(f"{where}: prediction is a {type(prediction).__name__}: wanted a string or null")
        try:
            score = await benchmark.score(target, prediction, judge.open()[0] if judge else None)
        except ModelError as error:
            raise ConfigError(f"{where}: the judge failed: {error}") from error
        yield {
            **{key: value for key, value in row.items() if key != "target"},
            "score": score.value,
            "lenient_score": score.lenient,
            "format_ok": score.format_ok,
            "extracted": score.prediction,
            **score.details,
        }


def _target(benchmark: Benchmark, infos: Mapping[str, Any], row: Mapping[str, Any], where: str) -> Any:
    if "prediction" not in row:
        raise ConfigError(f"{where} has no key prediction")
    sample_id = row.get("sample_id")
    known = sample_id is not None and str(sample_id) in infos
    # What `rlm-eval data --targets` shows in place of a protected target is none.
    carries_target = row.get("target", HIDDEN) != HIDDEN
    if not carries_target and sample_id is None:
        raise ConfigError(f"{where} has neither sample_id nor target")
    if not carries_target and not known:
        raise ConfigError(f"{where}: the configured source has no sample {sample_id!r}; see `rlm-eval data`")
    if known:
        target = benchmark.sample(str(sample_id)).target
        # Rows of `rlm-eval data --targets` with predictions added carry what the sample has anyway.
        if not carries_target or row["target"] == target_json(benchmark, target):
            return target
    try:
        return benchmark.target_of(row)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def read_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a JSON-lines file, gzipped or not, each with where it stands.

    NaN and infinite numbers, which JSON does not have, are read as null. Raises ConfigError.
    """
    try:
        with _opened(file) as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                where = f"{file} line {number}"
                try:
                    row = json.loads(line, parse_constant=lambda _: None, parse_float=_finite)
                except (ValueError, RecursionError) as error:
                    raise ConfigError(f"{where} is not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise ConfigError(f"{where} is not a JSON object")
                yield where, row
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error


def _opened(file: Path) -> IO[str]:
    raw = io.BufferedReader(io.FileIO(sys.stdin.fileno() if str(file) == "-" else str(file), closefd=str(file) != "-"))
    packed = raw.peek(2)[:2] == b"\x1f\x8b"
    # Other tools begin a file with a byte order mark.
    return io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if packed else raw, encoding="utf-8-sig")


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None
