"""Times completions of the package rlms, in its own environment: a job as JSON in, seconds of each as JSON out."""

import json
import os
import resource
import sys
import time

from rlm import RLM

job = json.loads(sys.argv[1])
result = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def client(model: str) -> dict:
    return {"model_name": model, "base_url": job["base_url"], "api_key": "none", "max_retries": 0}


def complete(context: str) -> None:
    rlm = RLM(
        backend="openai", backend_kwargs=client("root"), other_backends=["openai"],
        other_backend_kwargs=[client("sub")], environment="local", max_depth=1,
    )  # fmt: skip
    answer = rlm.completion(context, root_prompt="How many needles?").response
    if str(answer) != "done":
        raise SystemExit(f"rlms answered {answer!r}")


def processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


context = "The quick brown fox. " * (job["chars"] // 21)
complete("warm")
walls, before = [], processor()
for _ in range(job["times"]):
    started = time.perf_counter()
    complete(context)
    walls.append(time.perf_counter() - started)
print(json.dumps({"walls": walls, "cpu_s": processor() - before}), file=result, flush=True)
os._exit(0)
