"""rlm_combinators: programs are read, checked and bounded before they run, and nothing else can be run."""

import re
from typing import Any

import pytest

from rlm.completion import Completion, StopReason
from rlm.limits import Limits
from rlm.methods.combinators import RLMCombinators
from rlm.models.chat import Cost, CostState, FatalModelError, ModelError, Reply, Sampling, TokenUsage
from rlm.models.scripted import ScriptedModel
from rlm.models.tokens import count_tokens

LINES = [f"line {number}: {'red' if number % 3 == 0 else 'blue'} thing" for number in range(12)]
CONTEXT = "\n".join(LINES)


def program(code: str) -> str:
    return f"```repl\n{code}\n```"


def echo(messages: Any) -> str:
    """A sub-model that says yes to red things and otherwise repeats the last line in capitals."""
    text = messages[-1]["content"]
    if text.startswith("Red?"):
        return "Yes." if "red" in text else "No."
    return text.splitlines()[-1].upper()


async def play(*replies: str, sub: Any = echo, context: Any = CONTEXT, limits: Limits | None = None,
               **options: Any) -> tuple[Completion, ScriptedModel, ScriptedModel]:  # fmt: skip
    root = ScriptedModel(replies, "root")
    options.setdefault("sub_model", ScriptedModel(sub, "sub", sampling=Sampling(max_output_tokens=50)))
    method = RLMCombinators(model=root, **options)
    result = await method.acompletion(context, "Which?", limits=limits)
    return result, root, method.sub_model


def shown(root: ScriptedModel) -> str:
    """The result of the first program, as the root was shown it."""
    return root.requests[1][-1]["content"].removeprefix("REPL output:\n")


VALUES = {
    "count(split(context, '\\n'))": "12",
    "peek(context, 0, 6)": "line 0",
    "peek(context, -5, 5)": "thing",
    "peek(split(context, '\\n'), 1, 1)": "a list of 1\n0: line 1: blue thing",
    "count(filter(lambda x: contains(x, 'RED'), split(context, '\\n')))": "4",
    "count(filter(lambda x: not contains(x, 'red') and contains(x, '1'), split(context, '\\n')))": "3",
    "count(filter(lambda x: is_yes(ask(f'Red? {x}')), split(context, '\\n')))": "4",
    "reduce(lambda a, b: f'{a}+{b}', ['x', 'y', 'z'])": "x+y+z",
    "concatenate(map(lambda x: f'<{x}>', ['x', 'y']), ' ')": "<x> <y>",
    "concatenate(map(lambda a, b: f'{a}{b}', cross(['x', 'y'], ['1', '2'])))": "x1\nx2\ny1\ny2",
    "ask('say\\nhello')": "HELLO",
    "map(lambda x: map(lambda y: ask(f'{x}\\n{y}'), split(x, ' ')), ['a b'])": "a list of 1\n0: A\nB",
    "query": "Which?",
    "count(map(lambda x: ask(x), ['', ' ']))": "2",
    "reduce(lambda a, b: a, filter(lambda x: contains(x, 'q'), ['x']))": "",
    "print(count(['x']))": "1",
    "f'{count([])} {is_yes(\"yes, so\")}'": "0 yes",
}  # fmt: skip


@pytest.mark.parametrize("code", VALUES)
async def test_values(code: str) -> None:
    result, root, _ = await play(program(code), "FINAL(1)")
    assert shown(root) == (VALUES[code] or "(no output)"), result.trajectory.of_kind("cell")
    assert result.usage.syntax_errors == 0


REFUSED = {
    "import os": "there are no other statements",
    "__import__('os').system('ls')": "there is no combinator `__import__('os').system`",
    "open('/etc/passwd')": "there is no combinator `open`",
    "context.upper()": "there is no combinator `context.upper`",
    "[x for x in context]": "`[x for x in context]` is not in the language",
    "context[0]": "`context[0]` is not in the language",
    "context + context": "`context + context` is not in the language",
    "(lambda x: x)(context)": "there is no combinator `lambda x: x`",
    "map(ask, [context])": "the first argument of map is a function",
    "split(lambda x: x, 100)": "a lambda can only be the first argument of",
    "map(lambda *x: x, [context])": "the parameters of a lambda are plain names",
    "map(lambda ask: ask, [context])": "with names of their own",
    "context = 'x'": "`context` cannot be assigned",
    "f'{context!r}'": "neither a conversion nor a format",
    "split(context, 100, 2)": "split takes 2 arguments, not 3",
    "split(text=context, size=100)": "split takes its arguments by position",
    "x = (": "expected a program of combinators",
    "not " * 500 + "contains('a', 'a')": "",
    "for x in context: ask(x)": "there are no other statements",
    "10 ** 10": "is not in the language",
    "peek(context, 0, 10000000000000)": "numbers are below",
    "": "",
}


@pytest.mark.parametrize("code", REFUSED, ids=lambda code: code[:20])
async def test_nothing_but_combinators_is_run(code: str) -> None:
    result, root, sub = await play(program(code), "FINAL(1)")
    assert REFUSED[code] in shown(root) and sub.requests == []
    if REFUSED[code]:
        assert "SyntaxError: " in shown(root) and result.usage.syntax_errors == 1


TYPES = {
    "map(lambda x: x, context)": "line 1: map takes a list, and it got a text",
    "split(['a'], 100)": "split takes a text, and it got a list, each item a text",
    "split(context, 5)": "at least 100, or a separator",
    "split(context, count([]))": "at least 100, or a separator",
    "concatenate(cross(['a'], ['b']))": "its list holds a pair of a text and a text",
    "filter(lambda x: x, ['a'])": "the function of filter takes a yes or no, not a text",
    "reduce(lambda a, b: count([a, b]), ['a', 'b'])": "reduce makes a number of two items, a text",
    "map(lambda a, b: a, ['a'])": "map calls its function with 1, not 2",
    "f'{[context]}'": "an f-string takes a text or a number or a yes or no, not a list",
    "ask(count([]))": "ask takes a text, and it got a number",
    "['a', 1]": "a list has items of one type, not a text, a number",
    "x = 'a'\nask(y)": "line 2: there is no variable `y`; there are context, query, z, x",
    "contains('a', 'b') and 'c'": "a condition takes a yes or no, not a text",
}


@pytest.mark.parametrize("code", TYPES)
async def test_types_are_checked_before_anything_runs(code: str) -> None:
    result, root, sub = await play(program(f"z = ask('first')\n{code}"), "FINAL(1)")
    message = re.sub(r"line (\d)", lambda found: f"line {int(found[1]) + 1}", TYPES[code])
    assert "TypeError: " in shown(root) and message in shown(root) and sub.requests == []
    assert result.trajectory.of_kind("bound") == []


BOUNDED = [
    "map(lambda x: ask(f'Red? {x}'), split(context, '\\n'))",
    "parts = split(context, 100)\nreduce(lambda a, b: ask(f'Merge.\\n{a}\\n{b}'), map(lambda x: ask(x), parts))",
    "map(lambda a, b: ask(f'{a} and {b}'), cross(split(context, '\\n'), ['x', 'y', 'z']))",
    "red = filter(lambda x: is_yes(ask(f'Red? {x}')), split(context, '\\n'))\n"
    "map(lambda x: ask(f'again\\n{x}'), map(lambda x: ask(x), red))",
    "x = ask(peek(context, 0, 100))\nmap(lambda y: ask(y), split(x, ' '))",
    "map(lambda x: map(lambda y: ask(f'{x}\\n{y}'), split(ask(x), 100)), split(context, 150))",
    "concatenate(map(lambda x: ask(x), split(context, '\\n')))\nask(concatenate([context, context]))",
]  # fmt: skip


@pytest.mark.parametrize("code", BOUNDED)
@pytest.mark.parametrize("reply", [echo, lambda messages: "word " * 400], ids=["short", "long"])
async def test_a_bound_holds(code: str, reply: Any) -> None:
    result, _, sub = await play(program(code), "FINAL(1)", sub=reply)
    (bound,) = result.trajectory.of_kind("bound")
    made = [call.usage for call in result.calls if call.role == "sub"]
    assert bound["refused"] is None and len(made) == len(sub.requests) > 0
    assert len(made) <= bound["calls"]
    assert sum(usage.prompt_tokens for usage in made) <= bound["prompt_tokens"]
    assert sum(usage.completion_tokens for usage in made) <= bound["completion_tokens"]


async def test_the_bound_of_a_map_over_known_pieces_is_exact() -> None:
    result, _, _ = await play(program(BOUNDED[0]), "FINAL(1)")
    (bound,) = result.trajectory.of_kind("bound")
    tokens = sum(count_tokens(f"Red? {line}") for line in LINES)
    assert bound["calls"] == 12 and bound["completion_tokens"] == 12 * 50
    assert tokens + 12 * 64 <= bound["prompt_tokens"] <= 1.3 * (tokens + 12 * 64)


@pytest.mark.parametrize(
    ("code", "limits", "message"),
    [
        (BOUNDED[0], Limits(max_sub_calls=11), "not run: the program could make 12 sub-calls, and 11 are left"),
        (BOUNDED[0], Limits(max_calls=13), "not run: the program could make 12 sub-calls, and 11 are left"),
        (BOUNDED[0], Limits(max_tokens=2500), "not run: its sub-calls could take 1,5"),
        ("ask(concatenate(map(lambda x: context, split(context, '\\n'))))", Limits(max_sub_prompt_tokens=500),
         "the prompt of a sub-call could have 1,"),
    ],
)  # fmt: skip
async def test_a_program_over_a_limit_is_not_run_and_the_root_goes_on(code: str, limits: Limits, message: str) -> None:
    result, root, sub = await play(program(code), "FINAL(so be it)", limits=limits)
    assert "CostError: " in shown(root) and message in shown(root)
    assert sub.requests == [] and (result.answer, result.stop_reason) == ("so be it", StopReason.ANSWER)


@pytest.mark.parametrize(
    "code",
    [
        "x = split(context, '\\n')\n" + "x = map(lambda a, b: f'{a}{b}', cross(x, x))\n" * 6,
        "x = context\n" + "x = concatenate([x, x])\n" * 40,
        "map(lambda a: map(lambda b: map(lambda c: map(lambda d: contains(a, d), x), x), x), x)".replace(
            "x)", "split(context, ' '))"
        ),
    ],
    ids=["cross", "doubling", "nested"],
)
async def test_a_program_cannot_fill_the_memory_or_the_time_of_the_host(code: str) -> None:
    _, root, _ = await play(program(code), "FINAL(1)", context=CONTEXT * 5)
    assert "CostError: " in shown(root)


async def test_variables_stay_and_give_the_answer() -> None:
    result, root, _ = await play(
        program("red = filter(lambda x: contains(x, 'red'), split(context, '\\n'))"), "FINAL_VAR(red)"
    )
    assert result.answer == "\n".join(LINES[::3]) and "Variables: red (list[4])" in shown(root)
    result, _, _ = await play(program("n = count(['a'])\nFINAL(n)"))
    assert (result.answer, result.usage.turns) == ("1", 1)
    result, _, _ = await play(program("n = 'seven'"), program("FINAL_VAR('n')"))
    assert result.answer == "seven"
    result, root, _ = await play("FINAL_VAR(nothing)", "FINAL(1)")
    assert "The variables are: context, query" in root.requests[1][-1]["content"]


async def test_a_failed_sub_call_fails_the_program_and_the_others_are_paid_once() -> None:
    failing = {"left": 1}

    def sub(messages: Any) -> Any:
        if "line 5" in messages[-1]["content"] and failing["left"]:
            failing["left"] -= 1
            return ModelError("reset")
        return echo(messages)

    code = program("map(lambda x: ask(x), split(context, '\\n'))")
    result, root, model = await play(code, code, "FINAL(1)", sub=sub)
    assert "1 of 12 items failed; the first is item 5: reset" in shown(root)
    assert len(model.requests) == 13 and result.usage.sub_calls == 13
    with pytest.raises(FatalModelError):
        await play(code, sub=lambda messages: FatalModelError("no key"))


async def test_replies_are_cut_to_the_bound_and_dollars_stop_a_program() -> None:
    long = ScriptedModel(lambda messages: "word " * 400, "sub")
    _, root, _ = await play(program("ask('x')"), "FINAL(1)", sub_model=long, reply_tokens=10)
    assert count_tokens(shown(root)) == 10
    dear = ScriptedModel(lambda messages: Reply("x", usage=TokenUsage(1, 0, 1), cost=Cost(0.4, 0.4, CostState.KNOWN)))
    code = program("reduce(lambda a, b: ask(f'{a}{b}'), split(context, '\\n'))")
    result, _, _ = await play(
        code, "FINAL(late)", sub_model=dear, sub_call_concurrency=1, limits=Limits(max_cost_usd=1, reserve=0.2)
    )
    assert (result.answer, result.stop_reason) == ("late", StopReason.MAX_COST) and len(dear.requests) == 2


async def test_time_stops_a_program() -> None:
    slow = ScriptedModel(lambda messages: "x", "sub", latency_s=0.3)
    code = program("reduce(lambda a, b: ask(f'{a}{b}'), split(context, '\\n'))")
    result, _, _ = await play(code, "FINAL(late)", sub_model=slow, limits=Limits(max_wall_s=0.45))
    assert (result.answer, result.stop_reason) == ("late", StopReason.MAX_WALL)
    assert all(call.error is None for call in result.calls)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("count(split(context, '\\n'))", "per_line"), ("count(split(context, 100))", "fixed_chunks"),
        ("count(split(context, 'line'))", "structure"), ("peek(context, 0, 5)", "peek"),
        ("ask(f'Say it. {context}')", "whole"), ("contains(context, 'red')", "keyword_search"),
    ],
)  # fmt: skip
async def test_the_first_decomposition(code: str, kind: str) -> None:
    result, _, _ = await play(program("peek(context, 0, 1)"), program(code), "FINAL(1)")
    assert result.trajectory.of_kind("summary")[0]["decomposition"] == kind


async def test_documents_are_a_list_of_texts() -> None:
    result, root, _ = await play(
        program("map(lambda d: peek(d, 0, 3), context)"), "FINAL(1)", context=["alpha", "beta"]
    )
    assert shown(root) == "a list of 2\n0: alp\n1: bet" and "`context` is a list of 2" in root.requests[0][1]["content"]
    assert result.trajectory.of_kind("summary")[0]["decomposition"] == "structure"
