"""scripts/bench measures: its parts run at tiny sizes, its figures are told apart, its page holds what was measured."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.bench.__main__ import main
from scripts.bench.measure import US, Row
from scripts.bench.server import SCRIPTS, replies
from scripts.bench.tables import COLUMNS, PAGE, RESULTS, figure, page, read, records, write

ROOT = Path(__file__).parent.parent


def test_parts_run_at_tiny_sizes_and_leave_figures_with_machine_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Any
) -> None:
    def driven(command: Sequence[str]) -> dict[str, Any]:
        """A task in a process of its own, as the command runs it, but without the imports."""
        program = f"import runpy; runpy.run_module({command[2]!r}, run_name='__main__', alter_sys=True)"
        done = forks.run(program, *command[3:], cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    words = ["--tiny", "--no-peers", "--repeats", "1", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["run", *words, "--only", "server", "completion", "calls"])
    monkeypatch.setattr("scripts.bench.measure._driven", driven)
    main()
    assert {path.name for path in tmp_path.iterdir()} == {"server.csv", "completion.csv", "calls.csv"}
    with (tmp_path / "completion.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["who"], row["measure"]) for row in rows] == [
        ("rlm-eval", "wall s"), ("rlm-eval", "CPU ms a completion"),
        ("rlm-eval, repl=unsafe", "wall s"), ("rlm-eval, repl=unsafe", "CPU ms a completion"),
    ]  # fmt: skip
    assert all(float(row["median"]) >= 0 for row in rows)
    assert "cores" in rows[0]["machine"] and "rlms 0.1.3" in rows[0]["versions"]


def test_a_part_that_is_not_known_is_refused() -> None:
    command = [sys.executable, "-m", "scripts.bench", "--only", "nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "nothing" in done.stderr.splitlines()[-1]


def test_peers_are_told_as_multiples_of_ours_and_aims_are_judged(tmp_path: Path) -> None:
    rows = [
        Row("1 MB", US, "wall s", [0.02, 0.05, 0.04], aim="at most 0.06"),
        Row("1 MB", "rlms", "wall s", [0.4, 0.2, 0.2], aim="at least 8 times ours"),
        Row("2 MB", "rlms", "wall s", [1.0], aim="at least 8 times ours"),
    ]
    path = write("completion", records(rows, "0.1"), tmp_path)
    ours, theirs, alone = read(path)
    assert tuple(ours) == COLUMNS
    assert (ours["median"], ours["lowest"], ours["highest"], ours["met"]) == ("0.04", "0.02", "0.05", "yes")
    assert (theirs["times_ours"], theirs["met"]) == ("5", "no")
    assert (alone["times_ours"], alone["met"]) == ("", "")


@pytest.mark.parametrize(("value", "told"), [(0.012345, "0.0123"), (1234.5, "1234"), (99.95, "100"), (0, "0")])
def test_figures_have_three_digits(value: float, told: str) -> None:
    assert figure(value) == told


@pytest.mark.parametrize("style", ["repl", "dspy"])
def test_every_script_ends_with_an_answer(style: str) -> None:
    for script, cells in SCRIPTS.items():
        said = replies(script, style)
        assert len(said) == (len(cells) + 1 if cells else 1)
        assert "done" in said[-1] or not cells


def test_the_page_holds_what_the_files_hold() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, RESULTS) == text


def test_a_part_without_a_file_says_so(tmp_path: Path) -> None:
    text = "<!-- figures: calls -->\nold\n<!-- end of figures -->\n"
    assert page(text, tmp_path) == "<!-- figures: calls -->\nNot measured yet.\n<!-- end of figures -->\n"
    write("calls", records([Row("50 at a time", US, "wall over ideal", [1.02])], "0.0"), tmp_path)
    assert "| 50 at a time | rlm-eval | wall over ideal | 1.02 |" in page(text, tmp_path)
