"""The cost of sessions: a start, a cell, a call from a cell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from rlm.repl import open_repl
from rlm.repl.protocol import CellResult, Repl
from scripts.bench.measure import US, Bench, Row
from scripts.bench.ours import memory_bytes

CONTEXT_CHARS = 40_000_000
THREADS, CALLS, ANSWER_S = 50, 1000, 0.05
ALIVE = 50

_MANY_CALLS = f"""
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor({THREADS}) as pool:
    answers = list(pool.map(slow_query, map(str, range({CALLS}))))
len(answers)
"""

_HUNDRED_CALLS = """
import time
started = time.perf_counter()
for _ in range(100):
    echo("x")
time.perf_counter() - started
"""


async def echo(prompt: str) -> str:
    """Answer at once."""
    return prompt


async def slow_query(prompt: str) -> str:
    """Answer after 50 ms."""
    await asyncio.sleep(ANSWER_S)
    return prompt


async def run(repl: Repl, code: str) -> CellResult:
    """Run a cell that must end well."""
    result = await repl.run(code)
    if result.error:
        raise RuntimeError(result.error)
    return result


async def first_cell(context: str) -> float:
    """Seconds from the start of a session to the result of its first cell."""
    started = time.perf_counter()
    repl = await open_repl(context, {})
    await run(repl, "len(context)")
    taken = time.perf_counter() - started
    await repl.aclose()
    return taken


async def empty_cell(repl: Repl) -> float:
    """Seconds of a cell that does nothing."""
    started = time.perf_counter()
    await repl.run("")
    return time.perf_counter() - started


async def one_call(repl: Repl) -> float:
    """Seconds that a call adds to a cell, averaged over a hundred."""
    result = await run(repl, _HUNDRED_CALLS)
    return float(result.stdout) / 100


async def many_calls(repl: Repl) -> float:
    """Time of the calls of many threads, divided by the ideal time."""
    started = time.perf_counter()
    await run(repl, _MANY_CALLS)
    return (time.perf_counter() - started) / (CALLS / THREADS * ANSWER_S)


async def alive(context: str, count: int) -> float:
    """GB of the host and of `count` live sessions over the same context; shared memory counts once."""
    repls = [await open_repl(context, {}) for _ in range(count)]
    for repl in repls:
        await run(repl, "len(context)")
    held = memory_bytes() / 1e9
    for repl in repls:
        await repl.aclose()
    return held


def sessions(bench: Bench) -> Iterator[Row]:
    """First cells over contexts, empty cells, calls from cells and from many threads; memory of many sessions."""
    return iter(asyncio.run(_rows(bench)))


async def _rows(bench: Bench) -> list[Row]:
    repeats = bench.repeats
    chars = bench.size(CONTEXT_CHARS, 100_000)
    ascii_text, other_text = "The quick brown fox. " * (chars // 21), "Zwölf große Füchse → " * (chars // 21)
    await first_cell("warm")
    contexts = {"no context": "", "40 MB, ASCII": ascii_text, "40 M characters, not ASCII": other_text}
    aims = {"40 MB, ASCII": "at most 60"}
    rows = []
    for case, context in contexts.items():
        taken = [1e3 * await first_cell(context) for _ in range(3 * repeats)]
        rows.append(Row(case, US, "ms to the end of the first cell", taken, "confined", aim=aims.get(case, "")))
    held = [await alive(ascii_text, bench.size(ALIVE, 2)) for _ in range(bench.size(repeats, 1))]
    note = "host and confined sessions, one text in the host"
    rows.append(Row(f"{ALIVE} sessions alive, 40 MB each", US, "GB in all", held, note, 2.0, "at most 3.5"))
    repl = await open_repl("", {"echo": echo, "slow_query": slow_query})
    empty = [1e3 * await empty_cell(repl) for _ in range(50 * repeats)]
    rows.append(Row("empty cell", US, "ms", empty, "confined", aim="at most 0.2"))
    called = [1e3 * await one_call(repl) for _ in range(repeats)]
    rows.append(Row("a call out of a cell", US, "ms", called, "confined", aim="at most 0.3"))
    many = [await many_calls(repl) for _ in range(bench.size(repeats, 1))]
    rows.append(Row("1,000 calls of 50 ms, 50 threads", US, "wall over ideal", many, "confined", 1.0, "at most 1.3"))
    await repl.aclose()
    return rows
