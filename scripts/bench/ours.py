"""The rlm-eval side of each comparison, in a separate process: takes TASK and a job, prints measurements as JSON."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

Job = dict[str, Any]
Measured = dict[str, Any]
_TICKS = os.sysconf("SC_CLK_TCK")


def session_s(events: Iterable[Mapping[str, Any]]) -> float:
    """Processor seconds of a completion's session, as printed by its last cell; an ended session leaves no count."""
    told = [event["stdout"] for event in events if event["kind"] == "cell" and event["stdout"].startswith("cpu ")]
    return float(told[-1].split()[1]) if told else 0.0


def own_tree() -> set[int]:
    """This process and its descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    tree = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def processor_s() -> float:
    """Processor seconds of this process and its descendants; see session_s for sessions that have ended."""
    total = 0
    for pid in own_tree():
        try:
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return total / _TICKS


def memory_bytes() -> int:
    """Memory of this process and its descendants; shared memory counts once."""
    total = 0
    for pid in own_tree():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
    return total


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The only item of the list is the peak of memory, sampled every 50 ms, above the memory at the start."""
    base, peak, ended = memory_bytes(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            peak[0] = max(peak[0], memory_bytes() - base)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def text_of(chars: int, number: int = 0) -> str:
    """A different text for each number."""
    line = f"The quick brown fox {number}. "
    return line * (chars // len(line))


def make_rlm(job: Job, **options: Any) -> Any:
    """An RLM with models of the scripted endpoint."""
    from rlm import RLM
    from rlm.models.client.endpoint import Endpoint
    from rlm.models.client.model import OpenAIModel

    endpoint = Endpoint(job["base_url"], max_concurrency=job.get("wire", 256))
    root, sub = (OpenAIModel(name, endpoint, context_window=1_000_000) for name in ("gpt-5-root", "gpt-5-sub"))
    repl = {"confinement": job.get("confinement", "confined")}
    return RLM(model=root, sub_model=sub, protocol="answer_variable", repl=repl, **options)


async def complete(rlm: Any, context: str, folder: Path) -> float:
    """One completion, and its trajectory on disk as a run writes it; processor seconds of its session."""
    done = await rlm.acompletion(context, query="How many needles?")
    if done.answer != "done":
        raise SystemExit(f"rlm-eval answered {done.answer!r}, {done.stop_reason}: {done.error}")
    lines = done.trajectory.to_jsonl().encode()
    (folder / "trajectory.jsonl.gz").write_bytes(gzip.compress(lines, compresslevel=1, mtime=0))
    return session_s(done.trajectory.events)


async def completions(job: Job, folder: Path) -> Measured:
    """`times` completions one after the other over a context of `chars`."""
    rlm = make_rlm(job, sub_call_concurrency=job.get("concurrency", 16))
    await complete(rlm, "warm", folder)
    context, walls = text_of(job["chars"]), []
    before, in_sessions = processor_s(), 0.0
    for _ in range(job["times"]):
        started = time.perf_counter()
        in_sessions += await complete(rlm, context, folder)
        walls.append(time.perf_counter() - started)
    return {"walls": walls, "cpu_s": processor_s() - before + in_sessions}


async def live(job: Job, folder: Path) -> Measured:
    """`samples` concurrent completions, each with its own context: peak memory above that of the contexts."""
    alive, all_alive = 0, asyncio.Event()

    async def meet() -> str:
        """Wait until the sessions of all samples have started."""
        nonlocal alive
        alive += 1
        if alive > job["samples"]:
            all_alive.set()
        await all_alive.wait()
        return "met"

    rlm = make_rlm(job, tools={"meet": meet})
    warm = asyncio.create_task(complete(rlm, "warm", folder))
    contexts = [text_of(job["chars"], number) for number in range(job["samples"])]
    held = sum(map(len, contexts))
    while not alive:
        await asyncio.sleep(0.01)
    started = time.perf_counter()
    with peak_memory() as peak:
        await asyncio.gather(*(complete(rlm, context, folder) for context in contexts))
    wall = time.perf_counter() - started
    await warm
    return {"walls": [wall], "memory_bytes": peak[0] + held, "context_bytes": held}


async def calls(job: Job, folder: Path) -> Measured:
    """`rounds` x `concurrency` model calls through client and cache, `concurrency` at a time, as in a run."""
    from rlm.models.cache.model import CachedModel, CallStore
    from rlm.models.client.endpoint import Endpoint
    from rlm.models.client.model import OpenAIModel

    concurrency, rounds = job["concurrency"], job["rounds"]
    model = OpenAIModel("gpt-5-nano", Endpoint(job["base_url"], max_concurrency=concurrency))
    # Connections, imports and price tables are ready before the clock starts.
    await asyncio.gather(*(model.complete(messages(-1 - number)) for number in range(concurrency)))
    store = CallStore(folder / "calls.sqlite")
    timed = CachedModel(model, store)
    asked = [messages(number) for number in range(concurrency * rounds)]

    async def one_after_the_other(place: int) -> None:
        for each in asked[place::concurrency]:
            await timed.complete(each)

    started, before = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(one_after_the_other, range(concurrency)))
    wall, cpu = time.perf_counter() - started, time.process_time() - before
    store.close()
    await model.aclose()
    return {"walls": [wall], "cpu_s": cpu, "calls": len(asked)}


def messages(number: int) -> list[dict[str, str]]:
    """A different question for each number, of a few hundred tokens."""
    return [
        {"role": "system", "content": "Answer in one word. " * 20},
        {"role": "user", "content": f"Question {number}: " + "what is meant by this line of text? " * 20},
    ]


def run_words(method: str, samples: int, concurrency: int) -> list[str]:
    """The words of `rlm-eval run` for a run against the scripted endpoint, without its folder."""
    words = [
        "model=openai", "benchmark=[sniah]", f"method=[{method}]", "benchmark.sniah.lengths=[512]",
        "model.root.name=gpt-5", "model.sub.name=gpt-5-sub", f"benchmark.sniah.samples={samples}",
        f"concurrency.samples={concurrency}", f"model.endpoint.max_concurrency={max(64, concurrency)}",
    ]  # fmt: skip
    return [*words, "method.rlm.protocol=answer_variable"] if method == "rlm" else words


def whole_run(job: Job, folder: Path) -> Measured:
    """A run of `samples` samples, from plan to tables without a report, after a small run that does the imports.

    run_dir: the folder in which the run is kept.
    """
    import pandas as pd

    from benchmarks.config.compose import compose
    from benchmarks.config.targets import Target
    from benchmarks.running.run import run
    from benchmarks.running.run_files import read_trajectory

    os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": job["base_url"]}
    sequential = job["method"] == "sequential"
    words = run_words("base" if sequential else job["method"], job["samples"], job["concurrency"])
    target = Target("method.sequential", "scripts.bench.sequential.Sequential", {})
    method = {"method": {"sequential": target}} if sequential else {}
    run_dir = Path(job.get("run_dir") or folder / "run")
    run(replace(compose([*words, "limit=5", f"run_dir={folder / 'first'}"]), **method))
    config = replace(compose([*words, f"run_dir={run_dir}"]), **method)
    with profiled(job.get("profile")), peak_memory() if job.get("memory") else no_peak() as peak:
        started, before = time.perf_counter(), processor_s()
        outcome = run(config)
        wall, cpu = time.perf_counter() - started, processor_s() - before
    samples = pd.read_parquet(run_dir / "samples.parquet")
    if outcome.state != "finished" or set(samples["status"]) != {"ok"}:
        raise SystemExit(f"the run ended {outcome.state} {outcome.message}: {set(samples['error'])}")
    files = [path for path in run_dir.rglob("*") if path.is_file()]
    if job["method"] == "rlm":
        cpu += sum(session_s(read_trajectory(run_dir, path)) for path in samples["trajectory"])
    count = int(samples["root_calls"].sum() + samples["sub_calls"].sum())
    return {
        "walls": [wall], "cpu_s": cpu, "calls": count, "memory_bytes": peak[0],
        "disk_bytes": sum(path.stat().st_size for path in files),
    }  # fmt: skip


@contextmanager
def no_peak() -> Iterator[list[int]]:
    """Do not watch memory, since watching takes processor time."""
    yield [0]


@contextmanager
def profiled(on: bool) -> Iterator[None]:
    """Print a profile of the block, of this thread, to standard error."""
    if not on:
        yield
        return
    import cProfile
    import pstats

    with cProfile.Profile(time.process_time) as profile:
        yield
    pstats.Stats(profile, stream=sys.stderr).sort_stats("cumtime").print_stats(60)


TASKS = {"completions": completions, "live": live, "calls": calls, "whole_run": whole_run}


def main() -> None:
    """Run a task; the last line printed is one line of JSON."""
    task, job = TASKS[sys.argv[1]], json.loads(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        if asyncio.iscoroutinefunction(task):
            measured = asyncio.run(task(job, Path(folder)))
        else:
            measured = task(job, Path(folder))
    print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
