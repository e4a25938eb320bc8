"""`rlm-eval models`: lists the weights of the embedded model that are known by name, and fetches them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.commands.parser import Parser
from benchmarks.config.errors import ConfigError
from rlm.models.embedded.weights import Weights, known_weights

EPILOG = """examples:
  rlm-eval models                                    what is known, and what is on this machine
  rlm-eval models fetch qwen2.5-coder-1.5b           fetch it once for all checkouts
  rlm-eval run model=local model.weights=qwen2.5-coder-1.5b
"""
COLUMNS = ("name", "size", "licence", "sha256", "state", "where")
# Bytes per second that the estimate before a fetch assumes.
ASSUMED_SPEED = 10_000_000


def main(argv: Sequence[str]) -> int:
    """List weights, or fetch those named. Raises ConfigError for an unknown name, WeightsError if a fetch fails."""
    import argparse

    parser = Parser(
        prog="rlm-eval models", description="List the weights of the embedded model, or fetch some of them.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="[fetch] NAME", help="names of weights; `fetch` first fetches them")
    parser.add_argument("--json", action="store_true", help="print one JSON row for each of the weights")
    words = parser.parse_args(argv)
    fetching = words.names[:1] == ["fetch"]
    names = words.names[fetching:]
    if fetching and not names:
        raise ConfigError(f"fetch needs a name: expected one or more of {', '.join(known_weights())}")
    chosen = [_named(name) for name in names] or list(known_weights().values())
    if fetching:
        for weights in chosen:
            _fetch(weights)
    elif words.json:
        for weights in chosen:
            print(json.dumps(_row(weights)))
    elif names:
        for weights in chosen:
            print("\n".join(f"{key}: {_text(value)}" for key, value in _row(weights).items()))
    else:
        _print_table(chosen)
    return 0


def _named(name: str) -> Weights:
    if name not in known_weights():
        raise ConfigError(f"there is no model {name!r}: expected one of {', '.join(known_weights())}")
    return known_weights()[name]


def _row(weights: Weights) -> dict[str, Any]:
    kept = ("name", "model", "licence", "file", "bytes", "sha256", "context_window")
    facts = asdict(weights)
    path = str(weights.installed or weights.path)
    return {key: facts[key] for key in kept} | {"sources": weights.sources, "state": weights.state, "path": path}


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _print_table(chosen: Sequence[Weights]) -> None:
    rows = [COLUMNS]
    for weights in chosen:
        here = weights.state in ("present", "unchecked")
        where = str(weights.installed or weights.path) if here else f"rlm-eval models fetch {weights.name}"
        rows.append((weights.name, _size(weights.bytes), weights.licence, weights.sha256[:12], weights.state, where))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _fetch(weights: Weights) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from benchmarks.running.progress import clock
    from rlm.models.embedded.fetch import fetch

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if weights.state != "present":
        console.print(
            f"{weights.name} ({weights.licence}): {_size(weights.bytes)}, about "
            f"{clock(weights.bytes / ASSUMED_SPEED)} minutes at {_size(ASSUMED_SPEED)} a second, from "
            f"{' or '.join(weights.sources)}; kept at {weights.path}",
            markup=False,
        )
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(weights.name, total=weights.bytes)
        path = fetch(
            weights, note=lambda line: console.print(line, markup=False),
            progress=lambda here: bar.update(task, completed=here),
        )  # fmt: skip
    print(f"{weights.name}: {path}")
