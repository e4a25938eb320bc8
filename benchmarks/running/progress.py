"""Shows the progress of a run: a live table on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.running.busy import Heartbeat
from benchmarks.running.journal import Record
from benchmarks.running.rows import Key
from rlm.terminal import guard_streams, printable, unguarded

if TYPE_CHECKING:
    from rich.table import Table


class Progress(Protocol):
    """Shows each finished sample; used as a context manager."""

    def __enter__(self) -> Progress: ...
    def __exit__(self, *error: object) -> None: ...
    def done(self, record: Record) -> None: ...
    def say(self, text: str) -> None: ...


def make_progress(planned: Sequence[Key], finished: Sequence[Record], note: Callable[[], str] = str) -> Progress:
    """Make a live table if standard error is a terminal, else a line every few seconds. note: ends each line."""
    tally = Tally(planned, finished, note)
    return LiveProgress(tally) if sys.stderr.isatty() else LineProgress(tally)


class Tally:
    """Counts of finished samples by benchmark and method, with tokens, dollars, failures and the remaining time.

    note: returns what else the line of progress states, or an empty text.
    """

    def __init__(self, planned: Sequence[Key], finished: Sequence[Record], note: Callable[[], str] = str) -> None:
        self._note = note
        self._several = len({key.model for key in planned if key.model}) > 1
        self.planned = Counter(map(self._arm, planned))
        self.done: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.score: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.tokens = 0
        self.cost_usd = 0.0
        self.unknown_cost = False
        for record in finished:
            self.add(record)
        self.before = self.done.total()
        self._started = time.monotonic()

    def add(self, record: Record) -> None:
        row, group = record.row, self._arm(record.row.key)
        self.done[group] += 1
        self.failures[group] += row.status != "ok"
        self.score[group] += row.score
        self.tokens += row.prompt_tokens + row.completion_tokens
        self.cost_usd += row.cost_usd + row.judge_cost_usd
        self.unknown_cost |= row.cost_state == "unknown"

    def _arm(self, key: Key) -> tuple[str, str]:
        """Return benchmark and method, with the model if there are several."""
        return key.benchmark, f"{key.method}, {key.model}" if self._several and key.model else key.method

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    @property
    def left_s(self) -> float | None:
        """The remaining seconds at the current pace; None before the first sample has finished."""
        here = self.done.total() - self.before
        return None if here == 0 else self.elapsed_s / here * (self.planned.total() - self.done.total())

    def line(self) -> str:
        left = "" if self.left_s is None else f", {clock(self.left_s)} left"
        note = "".join(f", {one}" for one in [self._note()] if one)
        cost = f"${self.cost_usd:.2f}" + (" and unknown" if self.unknown_cost else "")
        return (
            f"{self.done.total()}/{self.planned.total()} samples, {self.tokens:,} tokens, {cost}, "
            f"{self.failures.total()} not ok, {clock(self.elapsed_s)} elapsed{left}{note}"
        )


class LineProgress:
    """Prints a line on standard error every few seconds, also while no sample finishes."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._heartbeat = Heartbeat(tally.line)

    def __enter__(self) -> LineProgress:
        self.say(self._tally.line())
        self._heartbeat.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._heartbeat.__exit__()
        if self._tally.done.total() > self._tally.before:
            self.say(self._tally.line())

    def done(self, record: Record) -> None:
        self._tally.add(record)

    def say(self, text: str) -> None:
        self._heartbeat.say(text)


class LiveProgress:
    """Redraws a table in place."""

    def __init__(self, tally: Tally) -> None:
        from rich.console import Console
        from rich.live import Live

        self._tally = tally
        self._live = Live(
            get_renderable=self._table,
            console=Console(file=unguarded(sys.stderr)),
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> LiveProgress:
        self._live.start()
        # The live table replaces the standard streams, so they are guarded again.
        guard_streams()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()
        self._live.console.print(self._tally.line(), highlight=False)

    def done(self, record: Record) -> None:
        self._tally.add(record)

    def say(self, text: str) -> None:
        self._live.console.print(printable(text), highlight=False, markup=False)

    def _table(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tally = self._tally
        table = Table(caption=tally.line(), caption_justify="left", box=None, pad_edge=False)
        for heading in ("benchmark", "method", "", "done", "mean score", "not ok"):
            table.add_column(heading, justify="left" if heading in ("benchmark", "method") else "right")
        for group, total in tally.planned.items():
            done = tally.done[group]
            mean = f"{tally.score[group] / done:.2f}" if done else ""
            bar: Any = ProgressBar(total=total, completed=done, width=24)
            names = [Text(printable(name)) for name in group]
            table.add_row(*names, bar, f"{done}/{total}", mean, str(tally.failures[group] or ""))
        return table


def clock(seconds: float) -> str:
    """Format seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
