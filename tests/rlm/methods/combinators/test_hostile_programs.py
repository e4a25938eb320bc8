"""Hostile programs of combinators end with an error that the root is shown, within the work that is allowed."""

import pytest

from rlm.methods.combinators.bound import Bound, Room
from rlm.methods.combinators.session import CombinatorSession
from rlm.repl.protocol import CellResult

HUGE = "0x" + "f" * 9_000
WORK = 200_000


async def run(*programs: str, context: str = "a\nb\nc", work: int = WORK) -> tuple[CellResult, list[Bound]]:
    async def ask(prompt: str) -> str:
        return "yes"

    bounds: list[Bound] = []
    session = CombinatorSession(context, "Which?", ask, bounds.append, Room(None, 100, work), max_output_chars=10_000)
    results = [await session.run(program) for program in programs]
    return results[-1], bounds


@pytest.mark.parametrize(
    "program",
    [f"print(-{HUGE})", f"FINAL_VAR({HUGE})", f"x = {HUGE} + 1", f"{HUGE}()"],
    ids=["negative", "final_var", "sum", "call"],
)
async def test_a_number_with_too_many_digits_is_a_syntax_error(program: str) -> None:
    result, _ = await run(program)
    assert result.error_type == "SyntaxError"
    assert "line 1" in (result.error or "")


async def test_lists_cannot_be_nested_without_end() -> None:
    result, _ = await run("a = ['x']", *["a = [a]\n" * 30] * 2)
    assert result.error_type == "CostError"
    assert "nested too deeply" in (result.error or "")


@pytest.mark.parametrize(
    "program",
    [
        "a = ['x']\n" + "a = [a, a, a, a, a, a, a, a, a, a]\n" * 12 + "print(a)",
        "a = split(context, '\\n')\n" + "a = map(lambda x: a, [a, a, a, a, a, a])\n" * 12 + "FINAL(a)",
        "a = cross(['x'], ['y'])\n" + "a = cross(a, a)\n" * 30,
        "a = ['x']\nb = ['xx']\n" + "c = [a, b]\nd = [b, a]\na = c\nb = d\n" * 45,
    ],
    ids=["list", "map", "pairs", "shapes"],
)
async def test_a_list_that_holds_another_one_many_times_counts_each_time(program: str) -> None:
    result, _ = await run(program)
    assert result.error_type == "CostError"


async def test_a_list_of_the_same_long_text_is_passed_on_without_copies() -> None:
    """Each pair holds two long texts; the pairs together are more than may be stored, and are not stored."""
    result, _ = await run("t = split(context, 1000)\nprint(count(cross(t, t)))", context="word " * 4_000, work=160_000)
    assert result.error is None
    assert result.stdout == "400"


async def test_the_lines_of_a_known_text_are_counted_and_not_estimated() -> None:
    context = "a line of some forty characters and more\n" * 1_000
    result, bounds = await run("print(count(split(context, '\\n')))", context=context, work=8 * len(context))
    assert (result.error, result.stdout) == (None, "1001")
    assert bounds[0].work < 5 * len(context)
