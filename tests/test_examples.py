"""The programs in examples/ run and print what they promise."""

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def run_example(monkeypatch, tmp_path, capsys):
    """Run a program in this process in an empty folder: run_example("library.py", ...) returns its standard output."""

    def run(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.syspath_prepend(str(EXAMPLES))
        try:
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        except SystemExit as end:
            assert not end.code, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def test_the_library_example_finds_the_password(run_example):
    printed = run_example("library.py")
    assert "answer: heron-7\nstopped by: answer\nroot calls: 2," in printed


def test_the_own_method_example_compares_its_method_with_base(run_example, tmp_path):
    printed = run_example("own_method.py", f"run_dir={tmp_path / 'run'}")
    assert "| two_looks | 0.0 [0, 84] " in printed
    # One call a sample for base, two for the method.
    calls = pd.read_parquet(tmp_path / "run" / "calls.parquet")
    assert calls.groupby("method").size().to_dict() == {"base": 2, "two_looks": 4}


def test_the_run_folder_example_prints_scores_statuses_and_usage_by_method(run_example):
    printed = run_example("read_run.py")
    assert printed.count("map_reduce") == 3
    assert "oracle                      100.0   100.0         100.0  100.0" in printed
    assert "context_overflow" in printed and "compactor" in printed


def test_every_example_has_a_test():
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'run_example("{path.name}"' not in tested] == []
