"""Properties of every method: kinds of prompts, budgets, replies without an answer, equal trajectories."""

import json
import re
import sys

import pytest

from rlm.completion import Completion, StopReason
from rlm.limits import Limits
from rlm.methods.agents.cli import AgentCli
from rlm.methods.base import BaseBm25, BaseTruncated, PlainModel
from rlm.methods.codeact.loop import CodeAct
from rlm.methods.combinators import RLMCombinators
from rlm.methods.compaction import Compaction
from rlm.methods.map_reduce import MapReduce
from rlm.methods.method import Method
from rlm.methods.rlm import RLM, RLMBm25, RLMCompacted
from rlm.methods.selfconsistency import RLMSelfConsistency
from rlm.models.chat import Cost, CostState, Reply
from rlm.models.scripted import ScriptedModel

FACT = "The gate opens with code 8675309."
TEXT = "Nothing happens here at all. " * 30 + FACT + " Nothing happens here at all." * 30
QUERY = "Which code opens the gate?"
PROMPTS = {
    "text": (TEXT, QUERY),
    "text that holds its question": (f"{TEXT} {QUERY}", None),
    "documents": (TEXT.split(". "), QUERY),
    "history": (
        [
            {"role": "user", "content": TEXT},
            {"role": "assistant", "content": "So?"},
            {"role": "user", "content": QUERY},
        ],
        None,
    ),
}
SEARCHED = "```repl\nimport re\nFINAL(re.findall(r'\\d{7}', str(context))[0])\n```"

COMPOSED = "```repl\nFINAL(ask(f'Which code?\\n{%s}'))\n```"


def reads(messages) -> str:
    """A model that answers in whatever form it is asked for, from what it can see."""
    seen = "\n".join(message["content"] for message in messages)
    if "combinators" in messages[0]["content"]:
        return COMPOSED % ("concatenate(context)" if "`context` is a list" in messages[1]["content"] else "context")
    if "FINAL(" in messages[0]["content"]:
        return SEARCHED
    found = " ".join(dict.fromkeys(re.findall(r"\b\d{7}\b", seen))) or "unknown"
    if found == "unknown" and "SEARCH(" in messages[0]["content"]:
        return "SEARCH(code of the gate)"
    return f"ANSWER: {found}" if "ANSWER:" in messages[0]["content"] else f"It is {found}."


METHODS = {
    "base": lambda **models: PlainModel(**models),
    "base_truncated": lambda **models: BaseTruncated(**models),
    "base_bm25": lambda **models: BaseBm25(**models),
    "compaction": lambda **models: Compaction(**models),
    "codeact_bm25": lambda **models: CodeAct(actions=["python", "search"], **models),
    "codeact_subcalls": lambda **models: CodeAct(actions=["python", "llm_query"], **models),
    "react_bm25": lambda **models: CodeAct(actions=["search"], **models),
    "map_reduce": lambda **models: MapReduce(window_chars=400, **models),
    "rlm": lambda **models: RLM(**models),
    "rlm_depth0": lambda **models: RLM(max_depth=0, **models),
    "rlm_depth2": lambda **models: RLM(max_depth=2, **models),
    "rlm_bm25": lambda **models: RLMBm25(**models),
    "rlm_compacted": lambda **models: RLMCompacted(**models),
    "rlm_selfconsistency": lambda **models: RLMSelfConsistency(k=2, **models),
    "rlm_combinators": lambda **models: RLMCombinators(**models),
    "agent_cli": lambda **models: AgentCli(command=[sys.executable, "-c", _AGENT], **models),
}
_AGENT = "import re, sys; print(*re.findall(r'\\b\\d{7}\\b', sys.stdin.read()))"
# Those whose every call is made by the model handed in.
OURS = [name for name in METHODS if name != "agent_cli"]


def make(name: str, replies=reads, **options) -> Method:
    return METHODS[name](model=ScriptedModel(replies, "root"), sub_model=ScriptedModel(replies, "sub"), **options)


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("name", METHODS)
async def test_every_method_answers_every_kind_of_prompt(name: str, kind: str) -> None:
    prompt, query = PROMPTS[kind]
    result = await make(name).acompletion(prompt, query)
    assert "8675309" in (result.answer or ""), (result.stop_reason, result.error)
    assert result.stop_reason == StopReason.ANSWER and result.calls


@pytest.mark.parametrize(
    "name",
    [
        "compaction",
        "codeact_subcalls",
        "map_reduce",
        "rlm",
        "rlm_bm25",
        "rlm_compacted",
        "rlm_depth2",
        "rlm_selfconsistency",
    ],
)
async def test_a_budget_of_one_cent_is_kept_to_within_a_call_a_slot(name: str) -> None:
    spend = "for i in range(10_000):\n    try: llm_query('again ' + str(i))\n    except Exception: pass"
    price, slots = 0.0002, 4

    def dear(messages) -> Reply:
        asked = messages[0]["content"]
        code = f"```repl\n{spend}\n```" if "FINAL(" in asked or "ANSWER:" in asked else "a note"
        return Reply(code, cost=Cost(price, price, CostState.KNOWN))

    method = make(name, dear)
    for field in ("concurrency", "sub_call_concurrency"):
        if hasattr(method, field):
            setattr(method, field, slots)
    if name == "compaction":
        for model in (method.model, method.sub_model):
            model.context_window = 1000
    result = await method.acompletion(TEXT * 400, QUERY, limits=Limits(max_cost_usd=0.01))
    assert result.stop_reason == StopReason.MAX_COST
    assert 0.009 <= result.usage.cost.usd <= 0.01 + slots * price


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    "reply",
    [Reply(""), Reply("", "length"), Reply("I cannot help with that.", "content_filter")],
    ids=lambda r: r.finish_reason,
)
async def test_replies_without_an_answer_end_without_one_and_with_a_reason(name: str, reply: Reply) -> None:
    result = await make(name, lambda messages: reply).acompletion(TEXT, QUERY, limits=Limits(max_turns=4))
    assert result.answer is None and result.stop_reason != StopReason.ANSWER


@pytest.mark.parametrize("name", OURS)
async def test_the_same_completion_twice_has_the_same_trajectory(name: str) -> None:
    runs = []
    for _ in range(2):
        method = make(name)
        if isinstance(method, RLMSelfConsistency):
            # The events of programs that run at the same time are recorded as they come.
            method.programs_concurrency = 1
        runs.append(_without_times(await method.acompletion(TEXT, QUERY)))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", OURS)
async def test_a_trajectory_can_be_written_whatever_the_prompt_holds(name: str) -> None:
    result = await make(name).acompletion(f"{TEXT} \ud800 \x00 漢字", QUERY)
    assert [json.loads(line)["kind"] for line in result.trajectory.to_jsonl().splitlines()][-1] == "answer"


def _without_times(result: Completion) -> list[dict]:
    times = ("at", "wall_s", "latency_s")
    return [{key: value for key, value in event.items() if key not in times} for event in result.trajectory.events]
