"""`rlm-eval estimate`: estimates the calls, tokens and dollars of a run, before any call."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.commands.parser import Parser
from benchmarks.config.compose import compose
from benchmarks.config.schema import CacheSettings


def main(argv: Sequence[str]) -> int:
    """Print a row for each benchmark, method and model. Raises ConfigError."""
    parser = Parser(
        prog="rlm-eval estimate",
        description="Estimate calls, tokens, dollars and time of a run from a simple model of each method's calls "
        "(see docs/reproducing.md). The estimate is within a factor of two for 27 of the paper's 30 costs with GPT-5 "
        "and for 20 of 30 with Qwen3-Coder. For models with other habits, fewer than half are this close.",
    )
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="KEY=VALUE", help="configuration, as for `rlm-eval run`"
    )
    words = parser.parse_intermixed_args(argv)
    # No call is made, so no key and no recording is needed.
    config = replace(compose(words.overrides), cache=CacheSettings(mode="replay"))

    from benchmarks.report.tables.formats import markdown
    from benchmarks.running.busy import Busy
    from benchmarks.running.estimate import estimate
    from benchmarks.running.estimate_time import in_words

    with Busy("estimating"):
        table = estimate(config, tell=lambda note: print(f"note: {note}", file=sys.stderr))
    for name in ("samples", "over_window", "calls", "prompt_tokens", "completion_tokens"):
        table[name] = table[name].fillna(0).round().astype(int).map("{:,}".format)
    table["usd"] = ["unknown" if value != value else f"{value:,.2f}" for value in table["usd"].astype(float)]
    table["time"] = table.pop("hours").astype(float).map(in_words)
    table["sample_s"] = ["" if value != value else f"{value:,.0f}" for value in table["sample_s"].astype(float)]
    print(markdown(table), end="")
    return 0
