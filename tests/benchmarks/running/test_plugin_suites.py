"""Suites of other packages that raise anything anywhere: no run ends, and each fault is one line with their name."""

import textwrap
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.config.errors import ConfigError
from benchmarks.running.run_files import read_trajectory

SUITE = """
    import asyncio, sys
    from benchmarks.sample import Sample, SampleInfo, Score
    from rlm import Prompt

    IDS = ["\\u6f22" * 100, "\\u6f22" * 99 + "\\u5b57", "\\U0001f600" * 120, "half \\ud800", "half \\udfff",
           "../../up", "..", ".", "/etc/passwd", "a\\0b", "C:\\\\con", "x" * 5000, "-rf", "a\\nb", " "]

    class Suite:
        metric, scorer, protected = "exact match", "theirs-1", False

        def __init__(self, name: str, at: str, error: str):
            self.name, self._at, self._error = name, at, error
            self._meet("init")

        def _meet(self, place):
            if place == self._at:
                errors = {"exit": SystemExit(3), "stop": StopIteration(), "cancelled": asyncio.CancelledError(),
                          "generator": GeneratorExit(), "key": KeyError("it"), "interrupt": KeyboardInterrupt()}
                raise errors[self._error]

        def infos(self):
            self._meet("infos")
            ids = {"none": [], "twice": ["a", "a"], "ids": IDS}.get(self._at, ["a", "b"])
            return (SampleInfo(name, name, "group", "constant") for name in ids)

        def sample(self, sample_id):
            self._meet("sample")
            return Sample(SampleInfo(sample_id, sample_id, "group", "constant"), Prompt("A text.", "Is it one?"), "yes")

        async def score(self, target, answer, judge=None):
            self._meet("score")
            return Score(1.0, 1.0, True, answer)

        def oracle(self, target):
            self._meet("oracle")
            return target

        def constants(self, samples):
            self._meet("constants")
            return [lambda sample: "no"]

        def target_of(self, row):
            return row["target"]

        def target_bytes(self, target):
            return b'"yes"'

        def provenance(self):
            return {"source": "theirs"}
"""
ERRORS = ("exit", "stop", "cancelled", "generator", "key", "interrupt")
FAILED = {"sample": {"base", "oracle", "floor"}, "score": {"base", "oracle", "floor"}, "oracle": {"oracle"},
          "constants": {"floor"}}  # fmt: skip


@pytest.fixture
def with_suites(go, server, in_folder, monkeypatch):
    """Run the method base and both reference rows on suites that are given by name, place and error."""
    (in_folder / "their_suite.py").write_text(textwrap.dedent(SUITE))
    monkeypatch.syspath_prepend(str(in_folder))

    def carry_out(suites):
        words = [
            f"+benchmark.{name}={{_target_:their_suite.Suite,name:{name},at:{at},error:{error}}}"
            for name, (at, error) in suites.items()
        ]
        return go(server(), "model=openai", "method=[base,oracle,floor]", "benchmark=[]", "run_dir=run", *words)

    return carry_out


def test_no_exception_of_a_suite_ends_a_run(with_suites):
    suites = {f"{at}_{error}": (at, error) for at in FAILED for error in ERRORS}
    outcome = with_suites(suites | {"right": ("nowhere", "key")})
    assert outcome.state == "finished"
    samples = pd.read_parquet(outcome.path / "samples.parquet")
    assert len(samples) == 6 * (len(suites) + 1)
    failed = samples[samples["status"] == "error"]
    for name, (at, _) in suites.items():
        here = failed[failed["benchmark"] == name]
        assert (name, set(here["method"]), len(here)) == (name, FAILED[at], 2 * len(FAILED[at]))
    assert not (failed["benchmark"] == "right").any() and not failed["error"].str.contains("\n").any()
    assert failed.loc[failed["benchmark"] == "score_exit", "error"].unique().tolist() == [
        "scorer: benchmark.score_exit: score() raised SystemExit"
    ]
    assert len(outcome.unscored) == sum(len(FAILED[at]) for at, _ in suites.values())


@pytest.mark.parametrize(
    ("at", "error", "message"),
    [
        ("init", "key", r"benchmark\.odd: their_suite\.Suite\(\) raised KeyError: 'it'"),
        ("init", "exit", r"benchmark\.odd: their_suite\.Suite\(\) raised SystemExit: 3"),
        ("infos", "exit", r"benchmark\.odd: infos\(\) raised .*SystemExit: 3"),
        ("none", "key", r"benchmark\.odd has no samples"),
        ("twice", "key", r"benchmark\.odd: infos\(\) returned sample_id 'a' more than once"),
    ],
)
def test_a_suite_that_cannot_be_planned_is_refused_in_one_line(with_suites, at, error, message):
    with pytest.raises(ConfigError, match=message):
        with_suites({"odd": (at, error)})


def test_a_sample_may_have_any_id(with_suites):
    """Ids that no file system takes, or that lead out of the folder, get files of their own inside it."""
    outcome = with_suites({"odd": ("ids", "key")})
    assert outcome.state == "finished" and not outcome.unscored
    samples = pd.read_parquet(outcome.path / "samples.parquet")
    files = samples.loc[samples["method"] == "base", "trajectory"]
    assert len(samples) == 45 and files.nunique() == 15
    assert all(len(Path(file).name.encode()) < 230 and len(Path(file).parts) == 5 for file in files)
    assert all(read_trajectory(outcome.path, file) for file in files)
