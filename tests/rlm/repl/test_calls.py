"""Calls from a cell to functions of the host: from any thread, many at once, with failures as exceptions."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.limits import LimitReached, StopReason
from rlm.models.chat import FatalModelError
from rlm.repl import open_repl
from rlm.repl.protocol import CellStatus, ReplLimits


class Host:
    """Functions a cell can call, and what was asked of them."""

    def __init__(self, budget: int = 10**9) -> None:
        self.prompts: list[str] = []
        self.under_way = self.most = self.finished = self.cancelled = 0
        self.budget = budget

    async def llm_query(self, prompt: str, model: str | None = None) -> str:
        """Ask a sub-model.

        It answers in capitals.
        """
        if len(self.prompts) >= self.budget:
            raise LimitReached(StopReason.MAX_SUB_CALLS, "max_sub_calls (2) is reached")
        self.prompts.append(prompt)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(3600 if prompt == "long" else 0.3 if prompt == "slow" else 0.01)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        self.finished += 1
        if prompt == "fail":
            raise ValueError("the endpoint\nfailed")
        if prompt == "fatal":
            raise FatalModelError("no quota")
        return prompt.upper()

    async def echo(self, *values, **named):
        """Give back what came."""
        return [list(values), named]

    async def strange(self) -> object:
        """Return what cannot be sent."""
        return object()

    def functions(self) -> dict:
        return {"llm_query": self.llm_query, "echo": self.echo, "strange": self.strange}


@pytest.fixture
def host():
    return Host()


@pytest.fixture
async def repl(host):
    repl = await open_repl("", host.functions(), limits=ReplLimits(grace_s=0.5, cell_s=30))
    yield repl
    await repl.aclose()


POOL = "from concurrent.futures import ThreadPoolExecutor\n"


async def test_a_call_returns_its_answer(repl, host):
    assert (await repl.run("llm_query('a')")).stdout == "'A'\n"
    assert (await repl.run("llm_query(prompt='b', model='m')")).stdout == "'B'\n"
    assert host.prompts == ["a", "b"]


async def test_help_and_signature_are_the_functions_own(repl):
    shown = (await repl.run("help(llm_query)")).stdout
    assert "llm_query(prompt: str, model: str | None = None) -> str" in shown and "answers in capitals" in shown
    assert (await repl.run("import inspect; list(inspect.signature(llm_query).parameters)")).stdout == (
        "['prompt', 'model']\n"
    )


async def test_plain_data_goes_both_ways(repl):
    sent = f"['ü\\ud800', 1, 2.5, None, True, [1, ['t']], {{'k': {'x' * 5000!r}}}]"
    result = await repl.run(f"sent = {sent}\necho(*sent, name=-1) == [sent, {{'name': -1}}], echo((1,))[0]")
    assert result.stdout == "(True, [[1]])\n"


async def test_calls_from_threads_run_at_once(repl, host):
    result = await repl.run(
        POOL + "with ThreadPoolExecutor(30) as p: r = list(p.map(llm_query, ['slow'] * 30))\nlen(r)"
    )
    assert result.stdout == "30\n"
    assert host.most == 30


async def test_calls_from_asyncio_run_at_once(repl, host):
    result = await repl.run(
        "import asyncio\nr = await asyncio.gather(*[asyncio.to_thread(llm_query, 'slow') for _ in range(5)])\nr"
    )
    assert result.stdout == f"{['SLOW'] * 5}\n"
    assert host.most == 5


@pytest.mark.parametrize(
    "code", ["llm_query()", "llm_query('a', wrong=1)", "llm_query({'a'})", "llm_query(b'x')", "llm_query(llm_query)"]
)
async def test_bad_arguments_are_a_type_error_and_no_call(repl, host, code):
    result = await repl.run(code)
    assert result.error_type == "TypeError" and "llm_query()" in result.error
    assert host.prompts == []


async def test_a_failure_is_an_exception_with_one_line(repl):
    result = await repl.run("llm_query('fail')")
    assert result.error_type == "SubCallError"
    assert result.error.splitlines()[-1] == "SubCallError: ValueError: the endpoint failed"
    assert "test_calls" not in result.error
    assert (await repl.run("try: llm_query('fail')\nexcept RuntimeError: print('caught')")).stdout == "caught\n"
    assert (await repl.run("try: llm_query('fail')\nexcept SubCallError: print('caught')")).stdout == "caught\n"


async def test_a_result_that_cannot_be_sent_is_a_failure(repl):
    assert (await repl.run("strange()")).error_type == "SubCallError"


async def test_too_many_exceptions_in_a_list_are_a_failure(monkeypatch):
    monkeypatch.setattr("rlm.repl.calls._MAX_MIXED", 2)

    async def many(count: int) -> list:
        return [ValueError("x")] * count

    repl = await open_repl("", {"many": many})
    assert (await repl.run("len(many(2))")).stdout == "2\n"
    assert "expected at most 2" in (await repl.run("many(3)")).error
    await repl.aclose()


async def test_a_spent_budget_is_not_swallowed():
    host = Host(budget=2)
    repl = await open_repl("", host.functions(), limits=ReplLimits(grace_s=0.4))
    result = await repl.run("try:\n    for i in range(9): print(llm_query('a'))\nexcept Exception: print('no')")
    assert (result.stdout, result.error_type) == ("A\nA\n", "BudgetExceeded")
    assert "max_sub_calls (2) is reached" in result.error
    assert (await repl.run("print('on')")).stdout == "on\n"
    await repl.aclose()


@pytest.mark.parametrize("handler", ["except: pass", "except BaseException: pass"])
async def test_a_cell_that_continues_after_its_budget_is_stopped(handler):
    host = Host(budget=2)
    repl = await open_repl("", host.functions(), limits=ReplLimits(grace_s=0.4))
    # The cell itself would continue until its time limit of half an hour.
    result = await asyncio.wait_for(repl.run(f"while True:\n    try: llm_query('a')\n    {handler}"), 120)
    assert result.status in (CellStatus.ERROR, CellStatus.KILLED)
    assert len(host.prompts) == 2
    assert (await repl.run("1")).stdout == "1\n"
    await repl.aclose()


async def test_calls_under_way_when_the_budget_is_spent_are_waited_for():
    host = Host(budget=5)
    repl = await open_repl("", host.functions(), limits=ReplLimits(grace_s=0.1))
    await repl.run(POOL + "with ThreadPoolExecutor(9) as p: list(p.map(llm_query, ['slow'] * 9))")
    assert (host.finished, host.cancelled) == (5, 0)
    await repl.aclose()


async def test_calls_under_way_at_the_time_limit_are_cancelled(repl, host):
    result = await repl.run("x = 1\nllm_query('long')", timeout_s=0.2)
    assert result.status == CellStatus.TIMEOUT
    assert (host.finished, host.cancelled) == (0, 1)
    assert (await repl.run("x")).stdout == "1\n"


async def test_a_pool_at_the_time_limit_ends_with_the_cell(repl, host):
    code = POOL + "x = 1\nwith ThreadPoolExecutor(9) as p: list(p.map(llm_query, ['long'] * 50))"
    result = await repl.run(code, timeout_s=0.3)
    assert result.status == CellStatus.TIMEOUT
    assert host.cancelled == 9
    assert (await repl.run("x")).stdout == "1\n"


async def test_calls_between_cells_are_refused(repl, host):
    await repl.run(
        "import threading, time\nout = []\ndef late():\n    time.sleep(0.3)\n    try: llm_query('late')\n"
        "    except Exception as e: out.append(str(e))\nt = threading.Thread(target=late); t.start()"
    )
    await asyncio.sleep(0.6)
    assert "no cell is running" in (await repl.run("t.join(); out[0]")).stdout
    assert host.prompts == []


async def test_calls_a_cell_leaves_under_way_are_waited_for(repl, host):
    await repl.run(
        "import threading\nt = threading.Thread(target=llm_query, args=('slow',)); t.start()\nwhile False: pass"
    )
    assert host.under_way == 0 and host.cancelled == 0


async def test_a_fatal_failure_ends_the_run(repl):
    with pytest.raises(FatalModelError, match="no quota"):
        await repl.run("try: llm_query('fatal')\nexcept Exception: pass")
    assert (await repl.run("1")).stdout == "1\n"


async def test_closing_cancels_calls_under_way(host):
    repl = await open_repl("", host.functions())
    cell = asyncio.create_task(repl.run("llm_query('long')"))
    while not host.under_way:
        await asyncio.sleep(0.01)
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
    assert host.cancelled == 1
    await repl.aclose()


async def test_a_function_that_is_not_async_is_refused():
    with pytest.raises(TypeError, match=r"functions\['f'\]"):
        await open_repl("", {"f": lambda: 1})
    with pytest.raises(TypeError, match="plain data"):
        await open_repl("", {}, data={"x": object()})
    with pytest.raises(TypeError, match="context"):
        await open_repl(["a", 1], {})
    with pytest.raises(ValueError, match="final_tags"):
        await open_repl("", {}, answer="tags")
    with pytest.raises(ValueError, match="unsafe"):
        await open_repl("", {}, confinement="none")


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [asyncio.CancelledError, _Unprintable, type("Odd", (BaseException,), {})])
async def test_the_cell_continues_after_any_exception_of_a_function(error):
    async def fail() -> None:
        raise error

    repl = await open_repl("", {"fail": fail})
    result = await repl.run("fail()", timeout_s=20)
    assert (result.status, result.error_type) == (CellStatus.ERROR, "SubCallError")
    await repl.aclose()


LIAR = """
class Liar(str):
    def __str__(self): return self
    def __len__(self): return 10**12
    def isascii(self): return True
    def encode(self, *how): return b'lies'
    def __getitem__(self, at): return self
class Count(int):
    def __int__(self): return self
    def __repr__(self): return 'lies'
short, long = Liar('ü'), Liar('ü' * 500)
"""


async def test_texts_and_numbers_that_lie_about_themselves_are_the_plain_values_in_them(repl):
    result = await repl.run(
        LIAR + "sent = [short, long, Count(7), {short: True}]\ngot = echo(*sent)[0]\n"
        "print(ascii(got[0]), got[1] == 'ü' * 500, got[2], ascii(got[3]), [type(g).__name__ for g in got])"
    )
    types = ["str", "str", "int", "dict"]
    assert result.stdout == f"'\\xfc' True 7 {{'\\xfc': True}} {types}\n", result.error


async def test_members_of_an_enumeration_are_sent_as_their_values(repl):
    await repl.run("import enum\nclass E(str, enum.Enum): A = 'x'\nclass I(enum.IntEnum): B = 2")
    assert (await repl.run("echo(E.A, I.B, 2.5)[0]")).stdout == "['x', 2, 2.5]\n"


async def test_an_object_that_pretends_to_be_a_text_is_a_type_error(repl):
    result = await repl.run("class S:\n    __class__ = property(lambda self: str)\necho(S())")
    assert result.error_type == "TypeError" and "echo()" in result.error


# Halves of surrogate pairs, which some encodings make one character of, alone and side by side.
PAIRED = st.text(st.sampled_from('\ud83d\ude00\U0001f600\ufeffx\\"\0'), max_size=90)


def test_text_is_exact_in_arguments_results_and_data():
    got = []

    async def echo(values):
        """Give back what came."""
        got.append(values)
        return values

    with asyncio.Runner() as runner:
        data = ["\ud83d\ude00", "\ude00\ud83d", "\U0001f600", "\ud83d\ude00" * 50, {"\ud83d\ude00": 1, "\U0001f600": 2}]
        repl = runner.run(open_repl("", {"echo": echo}, data={"data": data}))
        assert runner.run(repl.run(f"data == {data!a}")).stdout == "True\n"

        @settings(max_examples=40, deadline=None)
        @given(st.lists(PAIRED | st.dictionaries(PAIRED, PAIRED, max_size=2), max_size=4))
        def check(values):
            result = runner.run(repl.run(f"sent = {values!a}\necho(sent) == sent"))
            assert result.stdout == "True\n", result.error
            assert got.pop() == values

        check()
        runner.run(repl.aclose())
