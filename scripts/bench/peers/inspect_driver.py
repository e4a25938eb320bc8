"""Times an evaluation of plain calls by Inspect, in its own environment: a job as JSON in, seconds as JSON out."""

import json
import os
import resource
import sys
import tempfile
import time

job = json.loads(sys.argv[1])
result = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

from inspect_ai import Task, eval  # noqa: E402
from inspect_ai.dataset import MemoryDataset, Sample  # noqa: E402
from inspect_ai.scorer import includes  # noqa: E402
from inspect_ai.solver import generate  # noqa: E402


def evaluate(count: int) -> None:
    text = "The quick brown fox. " * (job["chars"] // 21)
    samples = [Sample(input=f"{text}\nQuestion {i}: which number?", target="4711", id=i) for i in range(1, count + 1)]
    log = eval(
        Task(dataset=MemoryDataset(samples), solver=generate(), scorer=includes()),
        model="openai-api/served/root", model_base_url=job["base_url"], model_args={"api_key": "none"},
        max_connections=job["concurrency"], max_samples=job["concurrency"], display="none", log_dir=folder,
    )[0]  # fmt: skip
    if log.status != "success" or log.results.completed_samples != count:
        raise SystemExit(f"inspect ended with {log.status}: {log.error}")


def processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


with tempfile.TemporaryDirectory() as folder:
    evaluate(5)
    started, before = time.perf_counter(), processor()
    evaluate(job["samples"])
    print(
        json.dumps({"walls": [time.perf_counter() - started], "cpu_s": processor() - before}), file=result, flush=True
    )
os._exit(0)
