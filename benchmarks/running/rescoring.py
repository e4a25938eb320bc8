"""Rescoring: new scores for the stored answers of a run, either for all of them or for none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.running.fill_rows import with_judge_calls
from benchmarks.running.journal import Record
from benchmarks.running.rows import SampleRow
from benchmarks.running.samples import SampleCache
from benchmarks.running.scoring import BudgetSpent, Scorer, ScorerFault, score_columns, sealed
from benchmarks.sample import Benchmark
from benchmarks.sources.protect import unseal
from rlm.completion import Completion, Status, StopReason, Usage, one_line
from rlm.models.chat import FatalModelError, ModelError
from rlm.trajectory import Trajectory


class RescoringStopped(Exception):
    """No score was changed. The message is one line.

    resumable: the verdicts so far are stored and not paid for again.
    """

    def __init__(self, message: str, resumable: bool = False) -> None:
        super().__init__(message)
        self.resumable = resumable


class Rescoring:
    """Scores records again, `at_once` at a time."""

    def __init__(self, benchmarks: Mapping[str, Benchmark], scorer: Scorer, at_once: int) -> None:
        self._benchmarks = benchmarks
        self._scorer = scorer
        self._samples = SampleCache(benchmarks, keep=at_once)
        self._places = asyncio.Semaphore(at_once)
        self._stopped = False

    def applies_to(self, record: Record) -> bool:
        """True for samples of these benchmarks, except those that failed before they were scored."""
        row = record.row
        return row.benchmark in self._benchmarks and (not row.failed or _scoring_failed(row))

    async def rescore(self, records: Sequence[Record]) -> list[Record]:
        """Return the records with new scores, in their order.

        Raises RescoringStopped if one of them cannot be scored.
        """
        tasks = [asyncio.create_task(self._one(record)) for record in records]
        try:
            results = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
        new = [result for result in results if isinstance(result, Record)]
        errors = [result for result in results if isinstance(result, BaseException)]
        if not errors:
            return new
        first = next((error for error in errors if isinstance(error, FatalModelError | BudgetSpent)), errors[0])
        done = f"{len(new)} of {len(records)} samples are scored, and their verdicts are stored"
        if isinstance(first, BudgetSpent):
            raise RescoringStopped(f"the budget is spent ({done}); run the command again with a larger budget", True)
        if isinstance(first, ModelError):
            raise RescoringStopped(f"the judge failed: {one_line(first)} ({done}; run the command again)")
        if isinstance(first, RescoringStopped | ScorerFault):
            raise RescoringStopped(str(first))
        raise first

    async def _one(self, record: Record) -> Record | None:
        async with self._places:
            if self._stopped:
                return None
            try:
                return await self._scored_again(record)
            except (FatalModelError, BudgetSpent, RescoringStopped, ScorerFault):
                self._stopped = True
                raise

    async def _scored_again(self, record: Record) -> Record:
        row, benchmark = record.row, self._benchmarks[record.row.benchmark]
        where = f"sample {row.sample_id} of {row.benchmark}"
        try:
            built = await self._samples.get(row.benchmark, row.sample_id)
        except Exception as error:
            raise RescoringStopped(f"{where} cannot be built: {one_line(error)}") from error
        if built.target_sha256 != row.target_sha256:
            raise RescoringStopped(
                f"{where} has a different target than in the run: the data or their generator have changed"
            )
        answer = None if row.prediction is None else unseal(row.prediction)
        scored = await self._scorer.score(benchmark, built.sample.target, answer, row.epoch)
        target = sealed(benchmark, built.target)
        new = replace(_healed(row), **score_columns(benchmark, scored, failed=False), target=target)
        calls = [call for call in record.calls if call.role != "judge"]
        return Record(new, with_judge_calls(calls, row.key, scored.judge_calls))


def _scoring_failed(row: SampleRow) -> bool:
    """True for a sample that has an answer but failed because of its judge or scorer."""
    return row.prediction is not None and unseal(row.error or "").startswith(("judge: ", "scorer: "))


def _healed(row: SampleRow) -> SampleRow:
    """Return the row with the status of its answer, in place of that of a failed judge."""
    if not row.failed:
        return row
    try:
        # Older versions replaced the stop reason by `error`.
        reason = StopReason.ANSWER if row.stop_reason == StopReason.ERROR else StopReason(row.stop_reason)
        status = Completion(None, reason, Usage(), Trajectory()).status
    except ValueError:
        reason, status = StopReason.ANSWER, Status.OK
    return replace(row, status=str(status), stop_reason=str(reason), error=None)
