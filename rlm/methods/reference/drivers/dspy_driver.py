"""Runs one completion of dspy.RLM: reads a job as JSON from standard input, and writes {answer} or {error} as JSON.

Runs in the environment of the package dspy.
"""

import json
import os
import sys


def main() -> None:
    # Output of the library and of model-written code must not mix with the result.
    result, job = os.fdopen(os.dup(1), "w", encoding="utf-8"), json.load(sys.stdin)
    os.dup2(2, 1)
    try:
        outcome = {"answer": complete(job)}
    except BaseException as error:
        outcome = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:1000]}
    print(json.dumps(outcome), file=result, flush=True)
    # A thread of the library may still wait for a call.
    os._exit(0)


def complete(job: dict) -> str:
    os.environ["DSPY_CACHEDIR"] = os.environ["HOME"]
    # Prices of models are not fetched from the network.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import dspy
    from dspy.primitives.local_interpreter import LocalInterpreter

    def model(name: str) -> dspy.LM:
        # No retries and no cache, because the client behind the metering endpoint has both.
        return dspy.LM(
            f"openai/{name}", api_base=job["base_url"], api_key=job["api_key"], num_retries=0, cache=False,
            timeout=86_400.0,
        )  # fmt: skip

    options = {} if job["max_iterations"] is None else {"max_iters": job["max_iterations"]}
    rlm = dspy.RLM(
        "context, query -> answer",
        max_llm_calls=job["max_sub_calls"],
        sub_lm=model(job["sub"]),
        interpreter_factory=LocalInterpreter,
        **options,
    )
    with dspy.context(lm=model(job["root"])):
        return str(rlm(context=job["context"], query=job["query"]).answer)


if __name__ == "__main__":
    main()
