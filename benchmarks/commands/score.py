"""`rlm-eval score`: scores predictions that were made elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import math
import sys
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.commands.parser import Parser
from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import RunConfig
from benchmarks.running.budget import check_judge_prices, run_budget
from benchmarks.running.model_set import ModelSet
from benchmarks.running.samples import check_judge, load_benchmarks
from benchmarks.running.scoring import BudgetSpent, Scorer, ScorerFault
from benchmarks.sample import Benchmark, target_json
from benchmarks.sources.files import LONGEST_PACKED_ROW, DataError, bounded_lines
from benchmarks.sources.protect import HIDDEN
from rlm.completion import one_line
from rlm.models.chat import FatalModelError, ModelError
from rlm.structure import check_structure
from rlm.terminal import counted
from rlm.unpacking import check_row_number, unpacked


def main(argv: Sequence[str]) -> int:
    """Print each row with its score, and a summary on standard error. Raises ConfigError for an invalid row."""
    parser = Parser(
        prog="rlm-eval score",
        description="Score a JSON-lines file of predictions: rows {sample_id, prediction} refer to the samples of the "
        "configured source; rows {prediction, target, answer_type} carry their own target.",
    )
    parser.add_argument("benchmark", metavar="BENCHMARK", help="name of a benchmark, see `rlm-eval list`")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="predictions, one JSON object per line; - is standard input"
    )
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="KEY=VALUE", help="configuration, as for `rlm-eval run`"
    )
    words = parser.parse_intermixed_args(argv)
    config = compose([f"benchmark=[{words.benchmark}]", "method=[base]", *words.overrides])
    return asyncio.run(_score_file(config, words.benchmark, words.file))


async def _score_file(config: RunConfig, name: str, file: Path) -> int:
    check_judge_prices(config)
    models = ModelSet(config, None)
    benchmarks, infos = load_benchmarks(config, may_be_empty=True)
    scores, sample_ids, failed = [], [], []
    try:
        judge = models.judge()
        check_judge(benchmarks, judge)
        scorer = Scorer(judge, run_budget(config))
        scoring = _Scoring(benchmarks[name], infos[name], scorer, config.concurrency.samples)
        async for where, result in scoring.rows(read_rows(file)):
            if isinstance(result, Exception):
                failed.append(f"{where}: {result}")
                continue
            print(json.dumps(result), flush=True)
            scores.append(result["score"])
            sample_ids += [str(result["sample_id"])] if result.get("sample_id") is not None else []
    finally:
        await models.aclose()
    if not scores and not failed:
        raise ConfigError(f"{file} has no rows: expected one JSON object per line")
    repeated = len(sample_ids) - len(set(sample_ids))
    note = f"; {counted(repeated, 'row')} with the sample_id of an earlier row: each row counts" if repeated else ""
    mean = f", mean score {sum(scores) / len(scores):.4f}" if scores else ""
    print(f"{counted(len(scores), 'row')}{mean}{note}", file=sys.stderr)
    if failed:
        print(f"rlm-eval: {counted(len(failed), 'row')} without a score, first {failed[0]}", file=sys.stderr)
    return 1 if failed else 0


# A line of predictions, which is held as bytes, as text and as values, and the values of rows that are scored at once.
_LONGEST_LINE, _HELD_BYTES = 96 << 20, 128 << 20


class _Scoring:
    """Scores rows `at_once` at a time, and gives the results in the order of the rows."""

    def __init__(self, benchmark: Benchmark, infos: Mapping[str, Any], scorer: Scorer, at_once: int) -> None:
        self._benchmark = benchmark
        self._infos = infos
        self._scorer = scorer
        self._at_once = at_once

    async def rows(
        self, rows: Iterator[tuple[str, Mapping[str, Any]]]
    ) -> AsyncIterator[tuple[str, dict[str, Any] | Exception]]:
        """Yield each row's place with its score, or with the error of its judge or scorer.

        After an error that would affect every later row, such as a spent budget, rows in progress are finished and no
        other row is started. Raises ConfigError for an invalid row, after the results of the rows before it.
        """
        window: deque[tuple[str, asyncio.Task[dict[str, Any]], int]] = deque()
        held = 0
        invalid: ConfigError | None = None
        stopped = False
        try:
            while True:
                while len(window) < self._at_once and held < _HELD_BYTES and not stopped and invalid is None:
                    try:
                        where, row = next(rows)
                    except StopIteration:
                        stopped = True
                    except ConfigError as error:
                        invalid = error
                    else:
                        size = sum(map(sys.getsizeof, row.values()))
                        window.append((where, asyncio.create_task(self._score(where, row)), size))
                        held += size
                        del row
                if not window:
                    break
                where, task, size = window.popleft()
                held -= size
                try:
                    result: dict[str, Any] | Exception = await task
                except (ModelError, ScorerFault, BudgetSpent) as error:
                    stopped = stopped or isinstance(error, FatalModelError | BudgetSpent)
                    result = error
                yield where, result
            if invalid:
                raise invalid
        finally:
            for _, task, _ in window:
                task.cancel()
            await asyncio.gather(*(task for _, task, _ in window), return_exceptions=True)

    async def _score(self, where: str, row: Mapping[str, Any]) -> dict[str, Any]:
        target = _target(self._benchmark, self._infos, row, where)
        prediction = row.get("prediction")
        if prediction is not None and not isinstance(prediction, str):
            raise ConfigError(f"{where}: prediction is a {type(prediction).__name__}: expected a string or null")
        scored = await self._scorer.score(self._benchmark, target, prediction)
        score = scored.score
        return {
            **{key: value for key, value in row.items() if key != "target"},
            "score": score.value,
            "lenient_score": score.lenient,
            "format_ok": score.format_ok,
            "extracted": score.prediction,
            "answer_cut": scored.answer_cut,
            **score.details,
        }


def _target(benchmark: Benchmark, infos: Mapping[str, Any], row: Mapping[str, Any], where: str) -> Any:
    if "prediction" not in row:
        raise ConfigError(f"{where} has no key prediction")
    sample_id = row.get("sample_id")
    known = sample_id is not None and str(sample_id) in infos
    # The placeholder that `rlm-eval data --targets` shows for a protected target is not a target.
    carries_target = row.get("target", HIDDEN) != HIDDEN
    if not carries_target and sample_id is None:
        raise ConfigError(f"{where} has neither sample_id nor target")
    if not carries_target and not known:
        raise ConfigError(f"{where}: the configured source has no sample {sample_id!r}; see `rlm-eval data`")
    if known:
        target = benchmark.sample(str(sample_id)).target
        # Rows of `rlm-eval data --targets` with added predictions repeat data of the sample.
        if not carries_target or row["target"] == target_json(benchmark, target):
            return target
    try:
        return benchmark.target_of(row)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    except Exception as error:
        # The benchmark can be a plug-in, which may raise any exception.
        raise ConfigError(f"{where}: benchmark.{benchmark.name}: target_of() raised {one_line(error)}") from error


def read_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Read the objects of a JSON-lines file, gzipped or not, each with its place in the file.

    NaN and infinite numbers, which JSON does not have, are read as null. Raises ConfigError.
    """
    try:
        with _opened(file) as (opened, longest):
            for number, line in bounded_lines(str(file), opened, longest):
                check_row_number(opened, number)
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if not text.strip():
                    continue
                where = f"{file} line {number}"
                try:
                    check_structure(line)
                    row = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
                except (ValueError, RecursionError) as error:
                    raise ConfigError(f"{where} is not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise ConfigError(f"{where} is not a JSON object")
                yield where, row
    except DataError as error:
        raise ConfigError(str(error)) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file, unpacked if necessary; the second value is the length of its longest line."""
    raw = io.BufferedReader(io.FileIO(sys.stdin.fileno() if str(file) == "-" else str(file), closefd=str(file) != "-"))
    with raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            yield unpacked(raw), LONGEST_PACKED_ROW
        else:
            yield raw, _LONGEST_LINE


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None
