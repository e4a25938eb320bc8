"""scripts/distance.py: the paired difference of two methods of a run, for each benchmark and over all samples."""

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.config.errors import ConfigError

ROOT = Path(__file__).parents[3]
distance: Any = runpy.run_path(str(ROOT / "scripts" / "distance.py"))["distance"]


@pytest.fixture
def samples(make_rows: Any) -> pd.DataFrame:
    parts = []
    for method, gain, turns in (("rlm", 0.25, 3), ("reference_rlms", 0.0, 6), ("base", 0.5, 1)):
        for benchmark, scores in (("oolong", [0.0, 0.5, 0.75, 0.25]), ("sniah", [0.5, 0.75])):
            given = [score + gain for score in scores] if method != "base" else [0.5] * len(scores)
            parts.append(make_rows(method, given, benchmark=benchmark, turns=turns))
    return pd.concat(parts, ignore_index=True)


def test_the_difference_is_paired_for_each_benchmark_and_over_all_samples(samples: pd.DataFrame) -> None:
    pairs, means = distance(samples, "rlm", "reference_rlms")
    assert list(pairs["benchmark"]) == ["oolong", "sniah", "all"]
    assert list(pairs["n"].astype(str).str.split(" ").str[0]) == ["4", "2", "6"]
    assert all(text.startswith("25.0") for text in pairs["difference [95% interval]"])
    assert set(pairs["comparison"]) == {"rlm − reference_rlms"}
    assert dict(zip(zip(means["benchmark"], means["method"], strict=True), means["turns"], strict=True)) == {
        ("oolong", "rlm"): 3, ("oolong", "reference_rlms"): 6, ("sniah", "rlm"): 3, ("sniah", "reference_rlms"): 6,
    }  # fmt: skip


def test_a_method_without_samples_is_named(samples: pd.DataFrame) -> None:
    with pytest.raises(
        ConfigError, match="no samples of 'rlm_bm25': expected one of the methods base, reference_rlms, rlm"
    ):
        distance(samples, "rlm_bm25", "base")
