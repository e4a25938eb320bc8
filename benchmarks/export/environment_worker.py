"""The processes of an exported environment: one answers a sample with a method, the other scores an answer.

    python -m benchmarks.export.environment_worker solve RUN BENCHMARK SAMPLE_ID METHOD BASE_URL MODEL
    python -m benchmarks.export.environment_worker score RUN < {"benchmark": ..., "sample_id": ..., "answer": ...}

Both print one JSON object. The key of the endpoint is in the variable RLM_EVAL_ENDPOINT_KEY.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.config.compose import compose
from benchmarks.config.errors import ConfigError
from benchmarks.config.methods import build_methods
from benchmarks.config.schema import read_recorded
from benchmarks.export.environment import run_config
from benchmarks.running.model_set import ModelSet
from benchmarks.running.samples import load_benchmarks
from benchmarks.running.scoring import Scorer
from benchmarks.sources.files import DataError
from rlm.methods.method import Method
from rlm.models.chat import ModelError

KEY_VARIABLE = "RLM_EVAL_ENDPOINT_KEY"


async def solve(run: Path, benchmark: str, sample_id: str, method: str, base_url: str, model: str) -> dict[str, Any]:
    """Answer a sample with a method of a run and a model at an endpoint. Raises ConfigError, DataError, ModelError."""
    words = ["benchmark=[sniah]", "method=[base]", "model=openai", f"model.name={json.dumps(model)}"]
    words += [f"model.endpoint.base_url={json.dumps(base_url)}", f"model.endpoint.api_key_env={KEY_VARIABLE}"]
    section = compose([*words, "model.endpoint.free=true", "cache.mode=off"]).plain["model"]
    recorded = run_config(run)
    config = replace(read_recorded({**recorded.plain, "model": section}), resume=True)
    models = ModelSet(config, None)
    try:
        built = build_methods(config, models.roles())
        chosen = built.get(method)
        if not isinstance(chosen, Method):
            raise ConfigError(f"method is {method!r}: expected one of {', '.join(built)}")
        sample = load_benchmarks(config)[0][benchmark].sample(sample_id).without_target()
        completion = await chosen.acompletion(sample.prompt)
    finally:
        await models.aclose()
    usage = asdict(completion.usage)
    return {"answer": completion.answer, "stop_reason": str(completion.stop_reason), "usage": usage}


async def score(run: Path, request: dict[str, str]) -> dict[str, Any]:
    """Score one answer with the run's benchmark and judge. Raises ConfigError, DataError, ModelError."""
    config = replace(run_config(run), resume=True)
    models = ModelSet(config, None)
    try:
        benchmark = load_benchmarks(config)[0][request["benchmark"]]
        target = benchmark.sample(request["sample_id"]).target
        scored = await Scorer(models.judge()).score(benchmark, target, request["answer"])
    finally:
        await models.aclose()
    found = scored.score
    return {"score": found.value, "lenient_score": found.lenient, "format_ok": found.format_ok}


def main(argv: Sequence[str]) -> int:
    """Run one of the two, and print what it returns."""
    verb, run, *words = argv
    try:
        work = solve(Path(run), *words) if verb == "solve" else score(Path(run), json.load(sys.stdin))
        print(json.dumps(asyncio.run(work)))
    except (ConfigError, DataError, ModelError) as error:
        print(f"rlm-eval: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
