"""Runs one completion of the package rlms: reads a job as JSON from standard input, writes {answer} or {error} as JSON.

Runs in the environment of that package, where the module `rlm` is the one of rlms.
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
    from rlm import RLM

    def client(model: str) -> dict:
        # No retries, because the client behind the metering endpoint makes them.
        return {
            "model_name": model, "base_url": job["base_url"], "api_key": job["api_key"], "max_retries": 0,
            "timeout": 86_400.0,
        }  # fmt: skip

    options = {} if job["max_iterations"] is None else {"max_iterations": job["max_iterations"]}
    rlm = RLM(
        backend="openai",
        backend_kwargs=client(job["root"]),
        other_backends=["openai"],
        other_backend_kwargs=[client(job["sub"])],
        environment="local",
        max_depth=job["max_depth"],
        **options,
    )
    return str(rlm.completion(job["context"], root_prompt=job["query"] or None).response)


if __name__ == "__main__":
    main()
