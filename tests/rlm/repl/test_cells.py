"""Cells: what they do and how their results are reported."""

import pytest

from rlm.repl import open_repl
from rlm.repl.protocol import CellStatus, ReplError, ReplLimits, UnknownVariable

CONTEXT = "one two three"


@pytest.fixture
async def repl():
    repl = await open_repl(CONTEXT, {}, limits=ReplLimits(max_output_chars=2000, memory_bytes=1 << 30))
    yield repl
    await repl.aclose()


async def test_variables_live_from_cell_to_cell(repl):
    await repl.run("x = [1, 2]\ndef f(): return x")
    assert (await repl.run("print(f())")).stdout == "[1, 2]\n"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2\n"),
        ("'text'", "'text'\n"),
        ("None", ""),
        ("x = 3", ""),
        ("print('a'); 'b'", "a\n'b'\n"),
        ("x = 5\nx", "5\n"),
        ("if True:\n    7", ""),
        ("7;", "7\n"),
        ("# nothing", ""),
        ("", ""),
        ("len(context)", "13\n"),
        ("_ = 4", ""),
        ("__name__", "'__main__'\n"),
    ],
)
async def test_a_last_bare_expression_is_shown(repl, code, shown):
    assert (await repl.run(code)).stdout == shown


async def test_the_last_value_is_kept_as_in_an_interactive_session(repl):
    await repl.run("20 + 1")
    assert (await repl.run("_ * 2")).stdout == "42\n"


async def test_output_of_threads_and_to_stderr_is_returned(repl):
    result = await repl.run(
        "import sys, threading\nt = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n"
        "print('bad', file=sys.stderr)"
    )
    assert (result.stdout, result.stderr) == ("thread\n", "bad\n")


async def test_a_traceback_has_the_cells_own_lines_only(repl):
    result = await repl.run("import json\ndef load():\n    return json.loads('{')\nload()")
    assert result.status == CellStatus.ERROR
    assert result.error_type == "JSONDecodeError"
    assert result.error.startswith("Traceback (most recent call last):\n")
    assert "    return json.loads('{')\n" in result.error
    assert "decoder.py" not in result.error and "cells.py" not in result.error
    assert result.error.splitlines()[-1].startswith("json.decoder.JSONDecodeError: Expecting")


async def test_a_function_of_an_earlier_cell_shows_its_own_line(repl):
    await repl.run("def f():\n    return 1 / 0")
    result = await repl.run("f()")
    assert 'File "<cell 1>", line 2, in f\n    return 1 / 0' in result.error
    assert 'File "<cell 2>", line 1, in <module>\n    f()' in result.error


async def test_causes_and_groups_are_cut_as_well(repl):
    result = await repl.run(
        "try:\n    import json; json.loads('{')\nexcept ValueError as e:\n    raise KeyError('k') from e"
    )
    assert "JSONDecodeError" in result.error and "direct cause" in result.error and "decoder.py" not in result.error


@pytest.mark.parametrize("code", ["def f(:", "x = '", "\0", "return 1", "'\ud800'", "(" * 300])
async def test_code_that_is_not_python_is_a_syntax_error(repl, code):
    result = await repl.run(code)
    assert result.status == CellStatus.SYNTAX_ERROR
    assert result.error
    assert (await repl.run("1")).stdout == "1\n"


async def test_variables_set_before_an_error_stay(repl):
    result = await repl.run("x = 1\nprint(x)\nraise ValueError('no')")
    assert (result.stdout, result.variables) == ("1\n", {"x": "int"})
    assert result.error.endswith("ValueError: no\n")


async def test_variables_have_short_types(repl):
    result = await repl.run(
        "import math\nclass C: pass\na, b, c, d, e = 'x' * 1200, list(range(120)), {}, C(), 1.5\n_hidden = 1\n"
        "import numpy as np\nm = np.zeros((3, 4))"
    )
    assert result.variables == {
        "math": "module", "C": "type", "a": "str[1200]", "b": "list[120]", "c": "dict[0]", "d": "C", "e": "float",
        "np": "module", "m": "ndarray[3x4]",
    }  # fmt: skip
    assert (await repl.run("context = 'mine'; del a")).variables.get("context") == "str[4]"


async def test_long_output_is_cut_in_the_middle(repl):
    result = await repl.run("print('a' * 5000 + 'b' * 5000)")
    assert result.stdout_chars == 10_001
    assert len(result.stdout) <= 2000
    head, line, tail = result.stdout.partition("\n[... ")[0], result.stdout.split("\n")[1], result.stdout[-500:]
    assert set(head) == {"a"} and set(tail.strip()) == {"b"}
    kept = len(head) + len(result.stdout.split("...]\n")[1])
    assert line == f"[... {10_001 - kept} characters cut ...]"


async def test_output_just_over_the_limit_states_the_missing_characters(repl):
    result = await repl.run("print('x' * 2500, end='')")
    first, line, last = result.stdout.split("\n")
    assert len(first) + len(last) + int(line.split()[1]) == 2500


async def test_output_at_the_limit_is_complete(repl):
    assert (await repl.run("print('x' * 2000, end='')")).stdout == "x" * 2000


async def test_much_output_does_not_fill_memory(repl):
    result = await repl.run("for _ in range(3000): print('x' * 10**6)")
    assert result.stdout_chars == 3000 * (10**6 + 1)
    assert len(result.stdout) <= 2000


@pytest.mark.parametrize("code", ["exit()", "quit()", "import sys; sys.exit(3)", "raise SystemExit", "exit"])
async def test_leaving_does_not_end_the_session(repl, code):
    await repl.run("x = 1")
    result = await repl.run(code)
    assert result.status == (CellStatus.OK if code == "exit" else CellStatus.ERROR)
    assert (await repl.run("x")).stdout == "1\n"


async def test_input_fails_at_once(repl):
    result = await repl.run("input('name? ')")
    assert result.error_type == "RuntimeError" and "keyboard" in result.error


async def test_await_at_the_top_and_asyncio_run(repl):
    result = await repl.run("import asyncio\nlock = asyncio.Lock()\nawait asyncio.sleep(0, 'slept')")
    assert result.stdout == "'slept'\n"
    assert (await repl.run("async with lock:\n    print('locked')")).stdout == "locked\n"
    assert (await repl.run("asyncio.run(asyncio.sleep(0, 1))")).stdout == "1\n"


@pytest.mark.parametrize(
    "module", ["numpy", "pandas", "sqlite3", "hashlib", "zoneinfo", "xml.etree.ElementTree", "decimal", "unittest"]
)
async def test_a_cell_may_import(repl, module):
    result = await repl.run(f"import {module}\nprint({module}.__name__)")
    assert result.stdout == f"{module}\n", result.error


async def test_dataclasses_and_pickle_find_the_cells_module(repl):
    await repl.run("import dataclasses, pickle\n@dataclasses.dataclass\nclass P:\n    x: 'int' = 1")
    result = await repl.run("pickle.loads(pickle.dumps(P())).x")
    assert result.stdout == "1\n", result.error


async def test_the_scratch_takes_files(repl):
    result = await repl.run("open('a', 'w').write('x'); import tempfile; tempfile.NamedTemporaryFile().write(b'1')")
    assert result.status == CellStatus.OK, result.error


async def test_values_come_as_text(repl):
    await repl.run(
        "s = 'ü\\ud800\\n'\nn = [1, 2]\nclass B:\n    def __str__(self): raise ValueError('no text')\nb = B()"
    )
    assert await repl.value("s") == "ü\ud800\n"
    assert await repl.value("n") == "[1, 2]"
    assert await repl.value("context") == CONTEXT
    with pytest.raises(ReplError, match="no text"):
        await repl.value("b")
    with pytest.raises(UnknownVariable, match="nothing") as caught:
        await repl.value("nothing")
    assert {"s", "n", "b", "context"} <= set(caught.value.names)
    assert (await repl.run("s[0]")).stdout == "'ü'\n"


async def test_a_value_beyond_its_limit_is_refused():
    repl = await open_repl("x" * 5000, {}, limits=ReplLimits(max_value_bytes=4999))
    await repl.run("kept = 7; FINAL(context)")
    for refused in (repl.value("context"), repl.final()):
        with pytest.raises(ReplError, match="5,000 bytes: expected at most 4,999"):
            await refused
    # The session and its variables are still there.
    result = await repl.run("kept, len(context)")
    assert (result.stdout, result.notice) == ("(7, 5000)\n", None)
    await repl.aclose()


async def test_text_that_no_file_takes_is_shown_without_harm(repl):
    result = await repl.run("print('a\\ud800b')\nprint('\\U0001F600')")
    assert result.stdout == "a\ufffdb\n\U0001f600\n"
    result.stdout.encode()


@pytest.mark.parametrize(
    "code", ["1/0", "s = 'a\u2028b'\n1/0", "x = 1\n\x0c\n1/0", "x = 1\r\n1/0\r\n", "s = '\x1c\x85'\n1/0"]
)
async def test_a_traceback_shows_the_line_that_python_means(repl, code):
    result = await repl.run(code)
    assert "    1/0\n    ~^~\n" in result.error


async def test_a_traceback_of_many_frames_is_reported_in_time(repl):
    code = "import sys; sys.setrecursionlimit(10**6)\ndef f(n): return f(n + 1) if n < 300_000 else 1/0\nf(0)"
    result = await repl.run(code)
    assert result.error_type == "ZeroDivisionError" and "more times" in result.error


async def test_keys_that_are_not_names_do_no_harm(repl):
    await repl.run("x = 5; globals()[1] = 2")
    result = await repl.run("x")
    assert result.stdout == "5\n" and result.variables == {"x": "int"}


async def test_a_thread_that_changes_the_variables_meanwhile_does_no_harm(repl):
    await repl.run(
        "import threading\ngo = True\ndef change():\n    i = 0\n    while go:\n        i += 1\n"
        "        globals()[f'v{i % 300}'] = i\n        globals().pop(f'v{(i + 150) % 300}', None)\n"
        "threading.Thread(target=change).start()"
    )
    for _ in range(50):
        assert (await repl.run("go")).stdout == "True\n"
    await repl.run("go = False")


async def test_an_error_that_hides_its_name_is_an_error_and_variables_stay(repl):
    await repl.run("class M(type):\n    __name__ = property(lambda cls: 5)\nclass E(Exception, metaclass=M): pass")
    assert (await repl.run("raise E")).status == CellStatus.ERROR
    assert (await repl.run("M")).status == CellStatus.OK


async def test_a_value_whose_text_raises_key_error_is_not_an_unknown_variable(repl):
    await repl.run("class S:\n    def __str__(self): raise KeyError('q')\ns = S()")
    with pytest.raises(ReplError, match="KeyError") as caught:
        await repl.value("s")
    assert not isinstance(caught.value, UnknownVariable)


@pytest.mark.parametrize(
    "code",
    [
        "import asyncio\nasync def f(): raise SystemExit\nawait asyncio.create_task(f())",
        "import asyncio\nawait asyncio.sleep(0)\nloop = asyncio.get_event_loop_policy()._local._loop",
    ],
)
async def test_await_works_after_a_cell_changed_its_loop(repl, code):
    await repl.run(code)
    await repl.run("import gc\nfor o in gc.get_objects():\n    if isinstance(o, asyncio.BaseEventLoop): o.close()")
    assert (await repl.run("await asyncio.sleep(0, 3)")).stdout == "3\n"


async def test_thread_pools_of_every_kind_work(repl):
    for module in ("multiprocessing.pool", "multiprocessing.dummy"):
        name = "ThreadPool" if module.endswith("pool") else "Pool"
        result = await repl.run(f"from {module} import {name}\n{name}(2).map(len, ['ab', 'c'])")
        assert result.stdout == "[2, 1]\n", result.error


async def test_output_may_be_reconfigured(repl):
    assert (await repl.run("import sys; sys.stdout.reconfigure(encoding='utf-8'); print('é')")).stdout == "é\n"


@pytest.mark.parametrize("name", ["FINAL", "FINAL_VAR"])
async def test_a_wrong_call_of_a_given_function_names_it_plainly(repl, name):
    assert f"TypeError: {name}() missing" in (await repl.run(f"{name}()")).error


async def test_a_long_error_states_the_missing_characters(repl):
    code = "raise ValueError('a' * 5000 + 'b' * 5000)"
    wide = await open_repl("", {})
    whole = (await wide.run(code)).error
    await wide.aclose()
    error = (await repl.run(code)).error
    head, line, tail = error.rpartition("\n[... ")[0], error.split("[... ")[1], error.split("cut ...]\n")[1]
    assert len(error) <= 2000 and len(whole) > 10_000
    assert whole.startswith(head) and whole.endswith(tail)
    assert int(line.split()[0]) == len(whole) - len(head) - len(tail)


async def test_names_that_no_file_takes_are_shown_without_harm(repl):
    result = await repl.run("globals()['a\\ud800'] = 1")
    assert result.variables == {"a\ufffd": "int"}
    with pytest.raises(UnknownVariable) as caught:
        await repl.value("nothing")
    str(caught.value).encode()
    await repl.run("class S:\n    def __str__(self): raise ValueError('no \\ud800')\ns = S()")
    with pytest.raises(ReplError, match="no \ufffd"):
        await repl.value("s")


@pytest.mark.parametrize("name", ["len", "isinstance", "type", "sorted", "print"])
async def test_a_cell_that_breaks_a_builtin_is_reported(repl, name):
    result = await repl.run(f"x = 1\nimport builtins; del builtins.{name}\n{name}")
    assert result.status in (CellStatus.ERROR, CellStatus.KILLED) and result.error
