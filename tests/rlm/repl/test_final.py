"""How a session gives its final answer, by each protocol."""

import pytest

from rlm.repl import open_repl
from rlm.repl.protocol import ReplError
from rlm.repl.sandbox import wire


@pytest.fixture
async def tags():
    repl = await open_repl("", {}, answer="final_tags")
    yield repl
    await repl.aclose()


@pytest.fixture
async def variable():
    repl = await open_repl("", {}, answer="answer_variable")
    yield repl
    await repl.aclose()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("FINAL('yes')", "yes"),
        ("FINAL(42)", "42"),
        ("FINAL([1, 'a'])", "[1, 'a']"),
        ("x = 'var'\nFINAL_VAR('x')", "var"),
        ("x = {'a': 1}\nFINAL_VAR('x')\nx['b'] = 2", "{'a': 1}"),
        ("x = ['var']\nFINAL_VAR(x)", "['var']"),
        ("FINAL('one'); FINAL('two')", "two"),
        ("FINAL('')", ""),
    ],
)
async def test_final_tags(tags, code, text):
    assert (await tags.run(code)).final
    assert await tags.final() == text


async def test_a_cell_that_raises_is_not_final(tags, variable):
    assert not (await tags.run("FINAL('x')\n1 / 0")).final
    with pytest.raises(ReplError, match="no final answer"):
        await tags.final()
    assert not (await variable.run("answer['content'] = 'x'; answer['ready'] = True\n1 / 0")).final


async def test_an_unknown_name_lists_those_that_exist(tags):
    await tags.run("first = 1")
    result = await tags.run("FINAL_VAR('second')")
    assert result.error_type == "NameError" and "first" in result.error and not result.final


async def test_the_next_cell_is_final_only_by_itself(tags):
    await tags.run("FINAL('x')")
    assert not (await tags.run("1")).final
    with pytest.raises(ReplError):
        await tags.final()


async def test_answer_variable(variable):
    assert (await variable.run("answer")).stdout == "{'content': '', 'ready': False}\n"
    assert not (await variable.run("answer['content'] = 'draft'")).final
    assert (await variable.run("answer['content'] += '!'; answer['ready'] = True")).final
    assert await variable.final() == "draft!"


async def test_each_protocol_has_its_own_names(tags, variable):
    assert (await tags.run("answer")).error_type == "NameError"
    assert (await variable.run("FINAL('x')")).error_type == "NameError"
    assert (await variable.run("FINAL_VAR('x')")).error_type == "NameError"
    repl = await open_repl("", {}, answer="none")
    assert (await repl.run("answer")).error_type == (await repl.run("FINAL")).error_type == "NameError"
    await repl.aclose()


async def test_help_tells_of_the_tags(tags):
    assert "final answer" in (await tags.run("help(FINAL_VAR)")).stdout


async def test_a_long_answer_arrives_complete(tags):
    await tags.run("FINAL('\\u00e4' * 30_000_000)")
    text = await tags.final()
    assert len(text) == 30_000_000 and set(text) == {"ä"}


LIAR = """
class Liar(str):
    def __str__(self): return self
    def __len__(self): return 10**12
    def isascii(self): return True
    def encode(self, *how): return b'lies'
    def __getitem__(self, at): return self
    def __format__(self, how): return 'lies'
    def __eq__(self, other): return True
    __hash__ = str.__hash__
liar = Liar('ü')
"""


@pytest.mark.parametrize("last", ["FINAL(liar)", "FINAL_VAR('liar')", "FINAL_VAR(liar)"])
async def test_a_text_that_lies_about_itself_is_the_text_in_it(tags, last):
    assert (await tags.run(LIAR + last)).final
    assert await tags.final() == "ü" == await tags.value("liar")


async def test_a_text_that_lies_as_the_variables_content(variable):
    assert (await variable.run(LIAR + "answer['content'] = liar; answer['ready'] = True")).final
    assert await variable.final() == "ü"


async def test_context_and_answer_may_be_longer_than_any_message():
    context = "x" * (wire.MAX_TEXT_BYTES + 1)
    repl = await open_repl(context, {})
    assert (await repl.run("FINAL_VAR('context')")).final
    assert await repl.final() == context
    await repl.aclose()
