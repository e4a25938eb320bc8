import re
from pathlib import Path

import pytest

from rlm.completion import StopReason
from rlm.limits import Limits
from rlm.methods.map_reduce import MapReduce, load_program
from rlm.models.chat import ContextOverflow, Cost, CostState, ModelError, Reply, Sampling
from rlm.models.scripted import ScriptedModel
from rlm.prompt import Prompt

FILLER = "Nothing of interest happens on this day. The weather is fair and the road is dry.\n"
QUERY = "Which code opens the gate?"


def haystack(*needles: str, lines: int = 400) -> str:
    rows = [FILLER] * lines
    for number, needle in enumerate(needles):
        rows.insert((number + 1) * lines // (len(needles) + 1), needle + "\n")
    return "".join(rows)


def finder(messages) -> str:
    """A weak model: it finds codes, copies them in other words, and makes one up where there is none."""
    found = re.findall(r"\b\d{7}\b", messages[0]["content"].split("Question:")[0])
    return f"The code that opens the gate is {' and '.join(found) or 11}."


def map_reduce(sub=finder, root=None, window: int | None = 2048, **options) -> MapReduce:
    return MapReduce(
        model=ScriptedModel(root or (lambda messages: messages[-1]["content"]), "root", context_window=window),
        sub_model=ScriptedModel(sub, "sub", context_window=window, sampling=Sampling(max_output_tokens=128)),
        **options,
    )


CONTEXTS = {
    "text": haystack("The gate opens with code 8675309."),
    "documents": haystack("The gate opens with code 8675309.").splitlines(),
    "one long document among short ones": ["Short.", haystack("The gate opens with code 8675309."), "Short."],
}


@pytest.mark.parametrize("kind", CONTEXTS)
async def test_the_root_sees_the_sentence_that_a_reply_refers_to_and_no_invention(kind: str) -> None:
    method = map_reduce()
    result = await method.acompletion(CONTEXTS[kind], QUERY)
    assert result.answer == f"The gate opens with code 8675309.\n\n{QUERY}"
    assert result.usage.sub_calls == len(method.sub_model.requests) > 5
    assert (result.usage.root_calls, result.usage.cells, result.usage.max_depth_reached) == (1, 1, 1)


async def test_every_sentence_is_in_a_window_and_no_window_is_too_long() -> None:
    text = "".join(f"Sentence number {i} stands here. " for i in range(2000))
    method = map_reduce(lambda _: "NONE", window_chars=2000)
    await method.acompletion(text, QUERY)
    windows = [request[0]["content"].split("\n\nQuestion:")[0] for request in method.sub_model.requests]
    assert all(any(f"Sentence number {i} stands" in window for window in windows) for i in range(2000))
    assert max(map(len, windows)) <= 2000 and sum(map(len, windows)) < 1.2 * len(text)


async def test_a_text_without_any_break_is_cut_all_the_same() -> None:
    method = map_reduce(lambda _: "NONE", window_chars=1000)
    result = await method.acompletion("x" * 10_000, QUERY)
    assert result.stop_reason == StopReason.ANSWER and 10 <= result.usage.sub_calls <= 12


async def test_a_context_of_one_window_takes_one_call_in_the_benchmarks_layout() -> None:
    method = map_reduce()
    prompt = Prompt("The code is 1234567.", QUERY, ({"role": "user", "content": "Text: {context}\nTask: {query}"},))
    result = await method.acompletion(prompt)
    assert result.answer == f"Text: The code is 1234567.\nTask: {QUERY}" and not method.sub_model.requests


async def test_replies_are_kept_verbatim_with_keep_replies() -> None:
    method = map_reduce(lambda m: "2 codes here" if "8675309" in m[0]["content"] else "None.", keep="replies")
    result = await method.acompletion(CONTEXTS["text"], QUERY)
    assert result.answer == f"2 codes here\n\n{QUERY}"


async def test_the_root_gets_a_note_if_no_part_was_found() -> None:
    result = await map_reduce(lambda _: "NONE").acompletion(CONTEXTS["text"], QUERY)
    assert result.answer.startswith("(No part of the text was found")


async def test_if_no_reply_can_be_quoted_the_replies_are_the_notes() -> None:
    result = await map_reduce(lambda _: "The code is 11.").acompletion(CONTEXTS["text"], QUERY)
    assert result.answer == f"The code is 11.\n\n{QUERY}"


async def test_notes_that_do_not_fit_a_window_are_read_again() -> None:
    needles = [f"Of all the gates in the long wall, gate {i} opens with code {1000000 + i}." for i in range(200)]

    def narrowing(messages) -> str:
        codes = re.findall(r"code (\d{7})", messages[0]["content"])
        return "\n".join(f"It is {code}." for code in codes[:5]) or "NONE"

    method = map_reduce(narrowing, window_chars=2000)
    result = await method.acompletion(haystack(*needles), "Which codes are there?")
    assert 5 <= len(re.findall(r"\d{7}", result.answer)) < 100
    assert max(len(request[-1]["content"]) for request in method.model.requests) < 2500


async def test_notes_that_cannot_be_reduced_are_cut_to_the_window_and_it_says_so() -> None:
    needles = [f"Of all the gates in the long wall, gate {i} opens with code {1000000 + i}." for i in range(300)]

    def all_of_them(messages) -> str:
        return "\n".join(f"It is {code}." for code in re.findall(r"code (\d{7})", messages[0]["content"]))

    method = map_reduce(root=["ok"])
    method.sub_model = ScriptedModel(all_of_them, context_window=4096)
    result = await method.acompletion(haystack(*needles), "Which codes are there?")
    assert result.truncated and result.stop_reason == StopReason.ANSWER


async def test_a_window_that_is_too_long_after_all_is_asked_in_halves() -> None:
    def strict(messages):
        return ContextOverflow("too long") if len(messages[0]["content"]) > 2500 else finder(messages)

    result = await map_reduce(strict).acompletion(CONTEXTS["text"], QUERY)
    assert "8675309" in result.answer


async def test_one_window_that_fails_costs_only_itself() -> None:
    def flaky(messages):
        return ModelError("no") if "broken" in messages[0]["content"] else finder(messages)

    result = await map_reduce(flaky).acompletion(haystack("This is broken.", "The gate: code 8675309."), QUERY)
    assert "8675309" in result.answer


async def test_a_budget_stops_the_sub_calls_and_the_root_answers_from_the_notes_so_far() -> None:
    def dear(messages) -> Reply:
        return Reply(finder(messages), cost=Cost(0.0004, 0.0004, CostState.KNOWN))

    text = "The gate opens with code 8675309.\n" + haystack(lines=4000)
    result = await map_reduce(dear, concurrency=1).acompletion(text, QUERY, limits=Limits(max_cost_usd=0.01))
    assert result.stop_reason == StopReason.MAX_COST and "8675309" in result.answer
    assert 0.0095 <= result.usage.cost.usd <= 0.01 and result.usage.sub_calls < 30


async def test_when_time_is_up_the_root_answers_from_the_notes_so_far() -> None:
    method = map_reduce(concurrency=1)
    method.sub_model = ScriptedModel(finder, context_window=2048, latency_s=0.01)
    text = "The gate opens with code 8675309.\n" + haystack(lines=30_000)
    result = await method.acompletion(text, QUERY, limits=Limits(max_wall_s=2.0))
    assert result.stop_reason == StopReason.MAX_WALL and "8675309" in result.answer
    assert result.trajectory.of_kind("limit")


async def test_at_most_the_given_calls_are_in_flight() -> None:
    method = map_reduce(concurrency=3)
    method.sub_model = _Counting(finder)
    await method.acompletion(CONTEXTS["text"], QUERY)
    assert 1 < method.sub_model.most <= 3


async def test_the_complete_context_is_never_sent() -> None:
    method = map_reduce()
    await method.acompletion(CONTEXTS["text"], QUERY)
    requests = method.model.requests + method.sub_model.requests
    assert max(len(request[-1]["content"]) for request in requests) < 4500


async def test_history_is_read_like_a_text() -> None:
    turns = [{"role": "user", "content": line} for line in CONTEXTS["text"].splitlines()]
    result = await map_reduce().acompletion([*turns, {"role": "user", "content": QUERY}])
    assert "8675309" in result.answer


async def test_a_root_that_refuses_or_is_cut_is_recorded_as_such() -> None:
    refused = await map_reduce(root=[Reply("no", "content_filter")]).acompletion(CONTEXTS["text"], QUERY)
    cut = await map_reduce(root=[Reply("The code is 86", "length")]).acompletion(CONTEXTS["text"], QUERY)
    assert (refused.answer, refused.stop_reason) == (None, StopReason.REFUSAL)
    assert (cut.answer, cut.stop_reason, cut.truncated) == ("The code is 86", StopReason.TRUNCATED, True)


async def test_a_program_of_ones_own(tmp_path) -> None:
    program = tmp_path / "mine.py"
    program.write_text("notes = llm_query('How long is ' + str(len(context)))")
    result = await map_reduce(lambda m: m[0]["content"], program=str(program)).acompletion("x" * 50_000, QUERY)
    assert result.answer.startswith("How long is 50000")


async def test_a_program_that_fails_is_an_error(tmp_path) -> None:
    program = tmp_path / "mine.py"
    program.write_text("1 / 0")
    result = await map_reduce(program=str(program)).acompletion("x", QUERY)
    assert result.stop_reason == StopReason.ERROR and "ZeroDivisionError" in result.error


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"keep": "all"}, "keep"),
        ({"window_chars": 10}, "window_chars"),
        ({"overlap_chars": -1}, "overlap_chars"),
        ({"window_chars": 1000, "overlap_chars": 600}, "overlap_chars"),
        ({"concurrency": 0}, "concurrency"),
        ({"program": "nowhere"}, "nowhere"),
        ({"prompt": "nowhere"}, "nowhere"),
        ({"repl": {"cells": 1}}, "repl.cells"),
    ],
)
def test_wrong_settings_are_refused_at_once(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        map_reduce(**options)


def test_a_program_with_a_syntax_error_is_refused_at_once(tmp_path) -> None:
    (tmp_path / "bad.py").write_text("def (")
    with pytest.raises(ValueError, match=r"bad\.py"):
        map_reduce(program=str(tmp_path / "bad.py"))


class _Counting(ScriptedModel):
    def __init__(self, replies) -> None:
        super().__init__(replies, context_window=2048, latency_s=0.01)
        self.now = self.most = 0

    async def complete(self, messages, *, epoch: int = 0, occurrence: int = 0) -> Reply:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().complete(messages)
        finally:
            self.now -= 1


def test_the_documentation_shows_the_same_program() -> None:
    page = Path(__file__).parents[3] / "docs" / "methods.md"
    assert load_program("map_reduce/program-v1") in page.read_text(encoding="utf-8")
