#!/usr/bin/env python3
"""Print how far two methods of a run are apart: distance.py RUN... [--method M --against B].

The first table has the paired difference of the scores with its 95% interval, for each benchmark and over all samples
that both methods have; the second has the means of calls, tokens and seconds. By default the methods are `rlm` and
`reference_rlms`, the package of the paper's authors, which the two commands of `laptop_arms` in docs/reproducing.md
measure on the same samples, models and server. A replayed run shows the seconds of the recorded calls.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import pandas as pd

from benchmarks.config.errors import ConfigError
from benchmarks.report.runs import load_calls, load_runs, with_replayed_time
from benchmarks.report.tables.formats import markdown
from benchmarks.report.tables.pairs import METHODS, paired_table, pairs_display

MEANS = ("root_calls", "sub_calls", "turns", "prompt_tokens", "completion_tokens", "wall_s", "cost_usd")


def distance(samples: pd.DataFrame, method: str, against: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of paired differences and of means. Raises ConfigError for a method without samples."""
    for name in (method, against):
        if name not in set(samples["method"]):
            found = ", ".join(sorted(set(samples["method"])))
            raise ConfigError(f"the run has no samples of {name!r}: expected one of the methods {found}")
    both = samples[samples["method"].isin([method, against])]
    names = {name: both["benchmark"] + "/" + both[name].astype(str) for name in ("sample_id", "cluster")}
    # The row over all samples is a family of its own, so that it does not change the corrected p of the others.
    parts = [paired_table(part, baseline=against) for part in (both, both.assign(benchmark="all", **names))]
    pairs = pd.concat(parts, ignore_index=True)
    shown = pairs_display(pairs[pairs["family"] == METHODS])
    means = both.groupby(["benchmark", "method"], sort=False)[list(MEANS)].mean(numeric_only=True).reset_index()
    means.insert(2, "n", both.groupby(["benchmark", "method"], sort=False).size().to_numpy())
    return shown.drop(columns="in words"), means


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument("--method", default="rlm", help="the method (default: rlm)")
    parser.add_argument("--against", default="reference_rlms", help="the other method (default: reference_rlms)")
    words = parser.parse_args()
    try:
        runs = load_runs(words.runs)
        samples = with_replayed_time(runs.samples, load_calls(runs))
        pairs, means = distance(samples, words.method, words.against)
    except ConfigError as error:
        print(f"distance: {error}", file=sys.stderr)
        return 2
    print(markdown(pairs), markdown(means), sep="\n", end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
