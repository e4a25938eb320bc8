"""Samples of a run of rlm-eval as tasks of `verifiers`, and its methods as a harness.

`rlm-eval export verifiers` writes this file into a package of its own, beside the prompts. rlm-eval and `verifiers`
need different versions of the openai package, so that a process of rlm-eval's own environment runs the method and
scores the answer. Targets are only in that process.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import verifiers.v1 as vf

__all__ = ["RlmEvalHarness", "RlmEvalTaskset"]

_FOLDER = Path(__file__).parent
_SETTINGS = json.loads((_FOLDER / "settings.json").read_text(encoding="utf-8"))
_WORKER = [_SETTINGS["python"], "-P", "-m", "benchmarks.export.environment_worker"]
# Only the harness's own process is given this variable.
_KEY = "RLM_EVAL_ENDPOINT_KEY"


class RlmEvalData(vf.TaskData):
    """A sample: its benchmark, its id, and its prompt as messages. It has no target."""

    benchmark: str
    sample_id: str


class RlmEvalTask(vf.Task[RlmEvalData]):
    """Scores the last reply: by the official rule of the benchmark, and by its lenient one as a metric."""

    @vf.metric
    async def other_scores(self, trace: vf.Trace) -> Mapping[str, float]:
        row = await self._scored(trace)
        return {"lenient_score": row["lenient_score"], "format_ok": float(row["format_ok"])}

    @vf.reward(weight=1.0)
    async def official_score(self, trace: vf.Trace) -> float:
        return float((await self._scored(trace))["score"])

    async def _scored(self, trace: vf.Trace) -> dict[str, Any]:
        if "rlm_eval_score" not in trace.info:
            request = {"benchmark": self.data.benchmark, "sample_id": self.data.sample_id, "answer": trace.last_reply}
            process = await asyncio.create_subprocess_exec(
                *_WORKER, "score", _SETTINGS["run"],
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            output, errors = await process.communicate(json.dumps(request).encode())
            if process.returncode:
                raise RuntimeError(f"rlm-eval could not score the answer: {errors.decode()[-2000:]}")
            trace.info["rlm_eval_score"] = json.loads(output)
        scored: dict[str, Any] = trace.info["rlm_eval_score"]
        return scored


class RlmEvalTaskset(vf.Taskset[RlmEvalTask, vf.TasksetConfig]):
    """The samples of the run."""

    def load(self) -> Iterable[RlmEvalTask]:
        with (_FOLDER / "tasks.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                data = RlmEvalData(
                    id=f"{row['benchmark']}/{row['sample_id']}", name=row["sample_id"], prompt=row["messages"],
                    benchmark=row["benchmark"], sample_id=row["sample_id"],
                )  # fmt: skip
                yield RlmEvalTask(data, self.config.task)


class RlmEvalHarnessConfig(vf.HarnessConfig):
    """The method that answers."""

    method: str = _SETTINGS["methods"][0]
    """Name of a method of the run, such as rlm."""


class RlmEvalHarness(vf.Harness[RlmEvalHarnessConfig]):
    """A method of the run, such as an RLM with its session. rlm-eval itself confines the code of the model."""

    APPENDS_SYSTEM_PROMPT = True
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        assert isinstance(data, RlmEvalData)
        words = ["solve", _SETTINGS["run"], data.benchmark, data.sample_id, self.config.method, endpoint, ctx.model]
        result = await runtime.run_program([*_WORKER, *words], {**self.config.resolved_env, _KEY: secret})
        if result.exit_code == 0:
            done = json.loads(result.stdout)
            trace.root_reply = done["answer"] or ""
            trace.info["rlm_eval"] = done
        return result
