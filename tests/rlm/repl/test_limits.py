"""The limits of a session: time, memory, its variables, and its context after a restart."""

import asyncio
import hashlib
import os
import resource
from pathlib import Path

import pytest

from rlm.limits import LimitReached, StopReason
from rlm.repl import open_repl
from rlm.repl.protocol import CellStatus, ReplError, ReplLimits

LIMITS = ReplLimits(
    cell_s=20, grace_s=0.4, memory_bytes=512 << 20, file_bytes=1 << 20, scratch_bytes=4 << 20, processes=8
)


async def eventually(holds):
    """Wait until something holds; the time limit of the test ends a wait in vain."""
    while not holds():
        await asyncio.sleep(0.005)


@pytest.fixture
async def repl():
    repl = await open_repl("the context", {}, limits=LIMITS, data={"extra": [1, 2]})
    yield repl
    await repl.aclose()


async def test_an_endless_cell_is_interrupted_and_variables_stay(repl):
    result = await repl.run("x = 7\nwhile True: pass", timeout_s=0.3)
    assert (result.status, result.error_type) == (CellStatus.TIMEOUT, "KeyboardInterrupt")
    assert "0.3 s" in result.notice and result.variables == {"x": "int"}
    assert result.wall_s >= 0.3
    assert (await repl.run("x")).stdout == "7\n"


@pytest.mark.parametrize("code", ["import time; time.sleep(99)", "import threading; threading.Event().wait()",
                                  "await __import__('asyncio').sleep(99)"])  # fmt: skip
async def test_a_waiting_cell_is_interrupted(repl, code):
    assert (await repl.run(code, timeout_s=0.2)).status == CellStatus.TIMEOUT
    assert (await repl.run("1")).stdout == "1\n"
    assert (await repl.run("import asyncio; await asyncio.sleep(0, 2)")).stdout == "2\n"


async def test_a_cell_that_will_not_stop_is_killed_and_the_context_is_back(repl):
    await repl.run("x = 7")
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    result = await repl.run(code, timeout_s=0.2)
    assert result.status == CellStatus.KILLED and "variables are gone" in result.notice
    again = await repl.run("context, extra")
    assert again.stdout == "('the context', [1, 2])\n" and again.notice is None
    assert (await repl.run("x")).error_type == "NameError"


@pytest.mark.parametrize("code", ["import os; os._exit(0)", "import ctypes; ctypes.string_at(0)"])
async def test_a_cell_that_ends_its_process_is_reported_and_the_session_continues(repl, code):
    result = await repl.run(code)
    assert result.status == CellStatus.KILLED and result.notice and not result.final
    assert (await repl.run("context")).stdout == "'the context'\n"


async def test_memory_beyond_the_limit_is_a_memory_error(repl):
    result = await repl.run("x = 1\ny = bytearray(1 << 30)")
    assert (result.status, result.error_type) == (CellStatus.MEMORY, "MemoryError")
    assert (await repl.run("x")).stdout == "1\n"


async def test_memory_taken_bit_by_bit_ends_in_an_error_or_a_new_session(repl):
    result = await repl.run("x = []\nwhile True: x.append(bytearray(1 << 20))")
    assert result.status in (CellStatus.MEMORY, CellStatus.KILLED)
    # The list still holds nearly all of the memory if the session goes on.
    assert (await repl.run("x = None\ncontext")).stdout == "'the context'\n"


async def test_files_beyond_the_limits_are_an_os_error(repl):
    assert (await repl.run("open('a', 'wb').write(bytes(2 << 20))")).error_type == "OSError"
    result = await repl.run("for i in range(9): open(f'f{i}', 'wb').write(bytes(1 << 20))")
    assert result.error_type == "OSError" and "No space left" in result.error


async def test_threads_beyond_the_limit_are_refused(repl):
    start = "for i in range(99): threading.Thread(target=e.wait).start()"
    result = await repl.run(f"import threading\ne = threading.Event()\ntry:\n    {start}\nfinally: e.set(); print(i)")
    assert result.error_type == "RuntimeError" and 4 <= int(result.stdout) <= 10


async def test_output_without_end_stops_at_the_time_limit(repl):
    result = await repl.run("while True: print('x' * 10**6)", timeout_s=0.5)
    assert result.status == CellStatus.TIMEOUT and len(result.stdout) <= LIMITS.max_output_chars


async def test_a_value_that_takes_too_long_does_not_block_for_good(repl, monkeypatch):
    monkeypatch.setattr("rlm.repl.session._VALUE_S", 0.3)
    await repl.run("class S:\n    def __str__(self):\n        while True: pass\ns = S()")
    with pytest.raises(ReplError, match="in time"):
        await repl.value("s")
    result = await repl.run("context")
    assert result.stdout == "'the context'\n" and "variables are gone" in result.notice
    assert (await repl.run("1")).notice is None


async def test_documents_come_as_a_list_before_and_after_a_new_start():
    documents = ["", "ä", "x" * 100_000, "\ud800", "last"]
    repl = await open_repl(documents, {}, limits=LIMITS)
    for _ in range(2):
        result = await repl.run("type(context).__name__, [len(d) for d in context], ascii(context[3]), context[4]")
        assert result.stdout == "('list', [0, 1, 100000, 1, 4], \"'\\\\ud800'\", 'last')\n"
        await repl.run("import os; os._exit(0)")
    await repl.aclose()
    empty = await open_repl([], {})
    assert (await empty.run("context")).stdout == "[]\n"
    await empty.aclose()


async def test_a_hundred_thousand_documents_arrive_exactly():
    documents = [f"{number} ü {chr(number + 1)}" * (number % 4) for number in range(100_000)]
    repl = await open_repl(documents, {})
    code = "import hashlib\nwhole = '\\x00'.join(context).encode('utf-8', 'surrogatepass')\n"
    result = await repl.run(code + "print(len(context), hashlib.sha256(whole).hexdigest())")
    whole = "\x00".join(documents).encode("utf-8", "surrogatepass")
    assert result.stdout == f"100000 {hashlib.sha256(whole).hexdigest()}\n"
    await repl.aclose()


async def test_an_empty_context_is_an_empty_text_before_and_after_a_new_start():
    repl = await open_repl("", {})
    for _ in range(2):
        assert (await repl.run("context")).stdout == "''\n"
        assert await repl.value("context") == ""
        await repl.run("import os; os._exit(0)")
    await repl.aclose()


async def test_a_runner_without_room_for_open_files_reports_it_and_continues():
    await (await open_repl("x", {})).aclose()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open("/dev/null", os.O_RDONLY)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, hard))
        with pytest.raises(ReplError, match="open files"):
            await open_repl("x", {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(spare)
    repl = await open_repl("x", {})
    assert (await repl.run("context")).stdout == "'x'\n"
    await repl.aclose()


async def test_a_context_of_every_kind_of_character_arrives_complete():
    context = "".join(map(chr, range(0, 0x11000, 7))) * 200
    repl = await open_repl(context, {})
    assert await repl.value("context") == context
    await repl.aclose()


async def test_sessions_run_at_the_same_time():
    barrier = asyncio.Barrier(5)

    async def meet() -> None:
        await barrier.wait()

    repls = [await open_repl(str(i), {"meet": meet}) for i in range(5)]
    results = await asyncio.gather(*[repl.run("meet(); context") for repl in repls])
    assert [result.stdout for result in results] == [f"'{i}'\n" for i in range(5)]
    for repl in repls:
        await repl.aclose()


async def test_a_closed_session_reports_that_it_is_closed():
    repl = await open_repl("", {})
    await repl.aclose()
    await repl.aclose()
    with pytest.raises(ReplError, match="closed"):
        await repl.run("1")


def test_sessions_work_from_one_event_loop_after_another():
    async def once() -> str:
        repl = await open_repl("x", {})
        result = await repl.run("context")
        await repl.aclose()
        return result.stdout

    assert [asyncio.run(once()) for _ in range(3)] == ["'x'\n"] * 3


async def test_a_lost_fork_server_is_replaced():
    from rlm.repl.forkserver import server_for

    repl = await open_repl("x", {})
    lost = server_for("confined")._process
    lost.kill()
    lost.wait()
    await eventually(lambda: repl._process.ended is not None)
    result = await repl.run("context")
    assert "variables are gone" in result.notice
    assert result.stdout == "'x'\n"
    assert (await repl.run("1")).notice is None
    await repl.aclose()


async def test_an_alarm_that_rings_after_its_cell_does_not_end_the_session(repl):
    await repl.run(
        "import signal\ndef ring(*_): raise TimeoutError\nsignal.signal(signal.SIGALRM, ring)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05); x = 7"
    )
    await asyncio.sleep(0.1)
    result = await repl.run("x")
    assert (result.stdout, result.notice) == ("7\n", None)


async def test_a_signal_between_cells_does_not_end_the_session(repl):
    await repl.run(
        "import os, signal, threading\ndef ring(*_): raise TimeoutError\nsignal.signal(signal.SIGUSR1, ring)\n"
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start(); x = 7"
    )
    await asyncio.sleep(0.3)
    result = await repl.run("x")
    assert (result.stdout, result.notice) == ("7\n", None)


async def test_a_cell_that_blocks_the_interrupt_does_so_for_itself_only(repl):
    await repl.run("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}); x = 7")
    assert (await repl.run("while True: pass", timeout_s=0.2)).status == CellStatus.TIMEOUT
    assert (await repl.run("x")).stdout == "7\n"


async def test_a_session_refuses_a_second_task_at_a_time():
    asked, answered = asyncio.Event(), asyncio.Event()

    async def ask() -> int:
        asked.set()
        await answered.wait()
        return 1

    repl = await open_repl("", {"ask": ask}, limits=LIMITS)
    running = asyncio.create_task(repl.run("ask()"))
    await asked.wait()
    for other in (repl.run("2"), repl.value("context")):
        with pytest.raises(ReplError, match="one thing at a time"):
            await other
    answered.set()
    assert (await running).stdout == "1\n"
    assert (await repl.run("3")).stdout == "3\n"
    await repl.aclose()


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_session_closed_while_it_starts_again_leaves_nothing():
    repl = await open_repl("x", {}, limits=LIMITS)
    before = _descriptors() - 4
    for wait in (0, 0, 0.001, 0.003):
        again = await open_repl("x" * 3_000_000, {}, limits=LIMITS)
        await again.run("import os; os._exit(1)")
        running = asyncio.create_task(again.run("1"))
        await asyncio.sleep(wait)
        await again.aclose()
        await asyncio.gather(running, return_exceptions=True)
        with pytest.raises(ReplError, match="closed"):
            await again.run("1")
    await repl.aclose()
    await eventually(lambda: _descriptors() <= before + 1)


async def test_an_opening_that_is_cancelled_leaves_nothing():
    await (await open_repl("x", {})).aclose()
    await asyncio.sleep(0.05)
    before = _descriptors()
    for wait in (0, 0.001, 0.002, 0.004, 0.008, 0.016):
        opening = asyncio.create_task(open_repl("x" * 3_000_000, {}, limits=LIMITS))
        await asyncio.sleep(wait)
        opening.cancel()
        for result in await asyncio.gather(opening, return_exceptions=True):
            if not isinstance(result, BaseException):
                await result.aclose()
    await eventually(lambda: _descriptors() == before)


async def test_sessions_over_long_contexts_start_together_and_one_given_up_holds_nobody_back():
    texts = [str(number) * (2 << 20) for number in range(6)]
    given_up = [asyncio.create_task(open_repl(text, {})) for text in texts[:3]]
    others = [asyncio.create_task(open_repl(text, {})) for text in texts[3:]]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    repls = await asyncio.gather(*others)
    seen = [(await repl.run("print(context[0], len(context))")).stdout.strip() for repl in repls]
    for repl in repls:
        await repl.aclose()
    await asyncio.gather(*given_up, return_exceptions=True)
    assert seen == [f"{number} {2 << 20}" for number in (3, 4, 5)]


async def test_a_limit_reached_after_a_cell_has_ended_stops_no_later_cell():
    async def llm_query(prompt: str) -> str:
        await asyncio.sleep(0.2)
        raise LimitReached(StopReason.MAX_SUB_CALLS, "max_sub_calls (1) is reached")

    repl = await open_repl("context", {"llm_query": llm_query}, limits=ReplLimits(grace_s=0.3))
    try:
        begin = "import threading, time\nthreading.Thread(target=llm_query, args=('x',), daemon=True).start()"
        await repl.run(f"{begin}\ntime.sleep(0.05)")
        later = await repl.run("time.sleep(0.8)\nprint('done')")
        assert (later.status, later.stdout) == (CellStatus.OK, "done\n")
    finally:
        await repl.aclose()
