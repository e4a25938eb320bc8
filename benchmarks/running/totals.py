"""The dollars, tokens and calls of a run in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.running.journal import Record
from benchmarks.running.rows import SampleRow
from rlm.terminal import counted


def totals(records: Sequence[Record], before: int) -> str:
    """Return the dollars, tokens and calls of samples in one line, sub-calls included.

    before: the number of samples that earlier sessions of the run finished.
    """
    rows = [record.row for record in records]
    calls = [call for record in records for call in record.calls if call.role != "judge"]
    earlier = f" ({before} from earlier sessions)" if before else ""
    parts = [
        f"{counted(len(rows), 'sample')}{earlier}",
        dollars(rows),
        f"{counted(_sum(rows, 'prompt_tokens'), 'prompt token')} ({_sum(rows, 'cached_tokens'):,} cached)",
        counted(_sum(rows, "completion_tokens"), "output token"),
        f"{counted(_sum(rows, 'root_calls', 'sub_calls'), 'call')} ({counted(_sum(rows, 'sub_calls'), 'sub-call')})",
    ]
    replayed = sum(bool(call.cache_hit) for call in calls)
    parts += [f"{replayed:,} of the calls replayed at their recorded cost"] if replayed else []
    return ", ".join(parts)


def missing_words(missing: int) -> str:
    """Format the number of samples that a run has not finished."""
    return f"{counted(missing, 'sample')} {'is' if missing == 1 else 'are'} missing"


def _sum(rows: Sequence[SampleRow], *columns: str) -> int:
    return sum(getattr(row, column) for row in rows for column in columns)


def dollars(rows: Sequence[SampleRow]) -> str:
    """Format the cost of samples: `$0.42 (judge $0.03)`, `free`, or with `and unknown` if a price is missing."""
    judge = math.fsum(row.judge_cost_usd for row in rows)
    usd = math.fsum(row.cost_usd for row in rows) + judge
    states = {row.cost_state for row in rows}
    if not usd and states <= {"free"}:
        return "free"
    note = f" (judge ${judge:,.2f})" if judge else ""
    unknown = " and unknown" if "unknown" in states else ""
    return f"${usd:,.4f}{note}{unknown}" if usd < 1 else f"${usd:,.2f}{note}{unknown}"
