"""No command is silent for long: lines on standard error while a step or a sample takes its time."""

import time

import pytest

from benchmarks.running import busy
from benchmarks.running.busy import Busy, Heartbeat
from benchmarks.running.progress import make_progress
from benchmarks.running.rows import Key


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(busy, "QUIET_S", 0.1)
    monkeypatch.setattr(busy, "_POLL_S", 0.01)


def wait_for_lines(capsys, count):
    lines, ends = [], time.monotonic() + 20
    while len(lines) < count and time.monotonic() < ends:
        time.sleep(0.01)
        lines += capsys.readouterr().err.splitlines()
    return lines


def test_a_long_step_is_named_again_and_again_until_it_ends(capsys):
    with Busy("reading the runs") as shown:
        assert all(line.startswith("reading the runs, ") for line in wait_for_lines(capsys, 2))
        shown.step("drawing the figures")
        assert wait_for_lines(capsys, 2)[-1] == "drawing the figures, 0 s"
        shown.step(None)
        capsys.readouterr()
        time.sleep(0.3)
        assert capsys.readouterr().err == ""
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_a_quick_step_prints_nothing(capsys):
    with Busy("reading"):
        pass
    assert capsys.readouterr().err == ""


def test_a_line_that_was_said_delays_the_next(capsys):
    with Heartbeat(lambda: "waiting") as beat:
        for _ in range(10):
            time.sleep(0.02)
            beat.say("said")
        assert capsys.readouterr().err.splitlines().count("said") == 10


def test_a_run_whose_samples_take_long_reports_its_progress(capsys):
    with make_progress([Key("sniah", "rlm", "s", 0)], []):
        lines = wait_for_lines(capsys, 3)
    assert all(line.startswith("0/1 samples, 0 tokens") for line in lines)


class Terminal:
    """A standard error that is a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def wait_for(self, text):
        ends = time.monotonic() + 20
        while text not in self.text:
            assert time.monotonic() < ends, self.text
            time.sleep(0.01)

    def isatty(self):
        return True


def test_on_a_terminal_the_step_is_shown_at_once(monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    with Busy("reading the runs") as shown:
        terminal.wait_for("reading the runs")
        shown.step("drawing the figures")
        terminal.wait_for("drawing the figures")
