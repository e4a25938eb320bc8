"""Command lines that are nearly right: one line says what was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cli import main
from benchmarks.config.errors import ConfigError
from benchmarks.config.words import check_words


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["experiment=quickstart"], "+experiment=quickstart"),
        (["quickstart"], "+experiment=quickstart"),
        (["experiment", "quickstart"], "+experiment=quickstart"),
        (["sniah"], "'benchmark=[sniah]'"),
        (["limit", "5"], "such as limit=5"),
        (["“limit=5”"], "cannot be read"),
        (["--limit", "5"], "limit=5"),
        (["--limit=5"], "limit=5"),
        (["-e", "quickstart"], "+experiment=quickstart"),
        (["-e"], "+experiment=NAME"),
        (["-x"], "KEY=VALUE"),
        (["benchmark=[sniah"], "brackets do not match"),
        (["benchmark=sniah]"], "brackets do not match"),
        (["method.rlm={a:[1}"], "brackets do not match"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(words, meant, capsys):
    assert main(["run", *words]) == 2
    err = capsys.readouterr().err
    assert meant in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--cfg", "job", "-p", "limits"],
        ["-m", "seed=1,2"],
        ["benchmark=[sniah,oolong]", "+prices={m:{input:1,output:2}}"],
        ["name='a[b'", "model.script=it's", "~limits.max_turns", "+experiment=ci"],
    ],
)
def test_overrides_and_flags_of_hydra_pass(words):
    check_words(words)


@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_words_pass_or_are_one_line(words):
    try:
        check_words(words)
    except ConfigError as error:
        assert str(error)


def test_without_words_the_command_says_what_to_type_first(capsys):
    assert main([]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "To begin, type: rlm-eval run +experiment=quickstart"
