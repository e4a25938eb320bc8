"""Times completions of dspy.RLM, in its own environment: a job as JSON in, seconds of each as JSON out."""

import json
import os
import resource
import sys
import tempfile
import time

os.environ["DSPY_CACHEDIR"] = tempfile.mkdtemp()
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import dspy
from dspy.primitives.local_interpreter import LocalInterpreter

job = json.loads(sys.argv[1])
result = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def model(name: str) -> dspy.LM:
    return dspy.LM(f"openai/{name}", api_base=job["base_url"], api_key="none", num_retries=0, cache=False)


def complete(context: str) -> None:
    # Without an interpreter_factory dspy takes its default, Pyodide in Deno.
    options = {} if job["interpreter"] == "deno" else {"interpreter_factory": LocalInterpreter}
    rlm = dspy.RLM("context, query -> answer", max_llm_calls=10_000, sub_lm=model("sub"), **options)
    with dspy.context(lm=model("root")):
        answer = rlm(context=context, query="How many needles?").answer
    if str(answer) != "done":
        raise SystemExit(f"dspy answered {answer!r}")


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
