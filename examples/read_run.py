"""Read a run folder with pandas: scores, failures and tokens by method.

    python examples/read_run.py [RUN]      # results/recorded/ci when no folder is named

samples.parquet has a row for each (benchmark, method, sample, epoch), calls.parquet a row for each model call.
"""

import sys
from pathlib import Path

import pandas as pd

RECORDED = Path(__file__).resolve().parent.parent / "results" / "recorded" / "ci"


def main(folder: Path) -> None:
    """Print three tables about a finished run."""
    samples = pd.read_parquet(folder / "samples.parquet")
    calls = pd.read_parquet(folder / "calls.parquet")

    print("mean score in percent (failed samples count as 0)")
    print(samples.pivot_table(index="method", columns="benchmark", values="score", aggfunc="mean").mul(100).round(1))

    print("\nsamples by status")
    print(samples.groupby(["method", "status"]).size().unstack(fill_value=0))

    print("\ncalls and tokens a sample, by method and role")
    n = samples.groupby("method").size().rename("samples")
    used = calls.groupby(["method", "role"]).agg(
        calls=("call_id", "size"),
        prompt_tokens=("prompt_tokens", "sum"),
        completion_tokens=("completion_tokens", "sum"),
    )
    print(used.div(n, axis=0, level="method").round(1))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED)
