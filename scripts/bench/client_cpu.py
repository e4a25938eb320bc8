"""Processor time of a model call through the client, for any commit of this project.

    .venv/bin/python scripts/bench/client_cpu.py                        # this checkout
    git worktree add /tmp/before COMMIT
    .venv/bin/python scripts/bench/client_cpu.py --checkout /tmp/before

The calls go to the scripted endpoint, which runs in its own process and answers at once. Only the public `load_model`
is used, without the response cache. Each round runs in a new process; the last line is the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 100


async def measure(calls: int, concurrency: int) -> float:
    """Milliseconds of processor time for each of `calls` calls, `concurrency` at a time."""
    from rlm import load_model

    model = load_model("openai/gpt-5-nano")
    left = iter(range(WARM_UP + calls))

    async def ask(count: int) -> None:
        for _, number in zip(range(count), left, strict=False):
            messages = [
                {"role": "system", "content": "Answer in one word. " * 20},
                {"role": "user", "content": f"Question {number}: " + "what does this line of text mean? " * 20},
            ]
            await model.complete(messages)

    # Connections and imports are made before the clock starts.
    await asyncio.gather(*(ask(WARM_UP // concurrency) for _ in range(concurrency)))
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(ask(calls // concurrency) for _ in range(concurrency)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    await model.aclose()
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / calls


def main() -> None:
    """Measure several rounds and print each of them, then their median."""
    parser = argparse.ArgumentParser(description="Processor time of a model call through the client.")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="folder with the rlm package to measure")
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.round:
        print(asyncio.run(measure(options.calls, options.concurrency)))
        return
    server = subprocess.Popen([sys.executable, ROOT / "scripts/bench/server.py"], stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        environment = os.environ | {
            "PYTHONPATH": str(options.checkout.resolve()), "OPENAI_BASE_URL": f"{address}/base/0/v1",
            "OPENAI_API_KEY": "none",
        }  # fmt: skip
        words = [f"--calls={options.calls}", f"--concurrency={options.concurrency}", "--round"]
        rounds = []
        for _ in range(options.rounds):
            command = [sys.executable, "-P", __file__, *words]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            rounds.append(float(done.stdout))
            print(f"{rounds[-1]:.3f} ms", flush=True)
        print(f"median: {statistics.median(rounds):.3f} ms of processor time a call")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
