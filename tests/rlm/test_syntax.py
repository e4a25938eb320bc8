"""Syntax trees of Python source: other text, literals, and several threads at once."""

import ast
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.syntax import literal_value, parsed, parsed_expression


@given(st.text())
def test_any_text_is_a_tree_or_none(text):
    for read in (parsed, parsed_expression):
        tree = read(text)
        assert tree is None or isinstance(tree, ast.AST)


@pytest.mark.parametrize("text", ["(" * 100_000, "x = '", "\x00", "return\ud800", "1 +" * 30_000])
def test_text_that_is_not_python_has_no_tree(text):
    assert parsed(text) is None and parsed_expression(text) is None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_a_literal_keeps_its_value(value):
    assert literal_value(f" {value!r}") == value


NO_LITERALS = ["", "name", "f()", "[1, 2", "{[]: 1}", "1 + x", f"[0x{'f' * 9000}]"]


@pytest.mark.parametrize("text", NO_LITERALS, ids=range(len(NO_LITERALS)))
def test_text_that_is_no_literal_raises_value_error(text):
    with pytest.raises(ValueError, match="not a Python literal"):
        literal_value(text)


def test_threads_may_parse_at_once():
    source = "\n".join(f"def f{i}(x): return [x + {i} for x in range({i})]" for i in range(200))
    failed = []

    def read():
        for _ in range(10):
            tree = parsed(source)
            if tree is None or len(tree.body) != 200:
                failed.append(tree)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
