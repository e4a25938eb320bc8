"""Text that reaches a terminal: shown, never acted on."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.terminal import guard_streams, printable, unguarded


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢字\n\tkept", "plain ü 漢字\n\tkept"),
        ("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        ("\x9b31m red", "\\x9b31m red"),
        ("safe\roverwritten\r\nnext", "safe\\roverwritten\nnext"),
        ("\u202efdp.exe\u2066", "\\u202efdp.exe\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028separator \ud800", "line\\u2028separator \\ud800"),
        ("no\u00a0break\u3000space", "no break space"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_as_an_escape(text, shown):
    assert printable(text) == shown


@given(st.text(alphabet=st.characters()))
def test_any_text_becomes_printable_once(text):
    shown = printable(text)
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert printable(shown) == shown


def test_everything_printed_passes_through_the_guard(monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    guard_streams()
    guard_streams()
    print("\x1b[31m", end="")
    sys.stderr.writelines(["\u202e", "\n"])
    unguarded(sys.stdout).write("\x1b")
    assert out.getvalue() == "\\x1b[31m\x1b" and err.getvalue() == "\\u202e\n"
    assert not sys.stdout.isatty()
