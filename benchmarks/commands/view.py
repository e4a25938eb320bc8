"""`rlm-eval view`: opens runs in the browser, from a server on loopback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands.parser import Parser


def main(argv: Sequence[str]) -> int:
    """Serve pages of runs until interrupted. Raises ConfigError for a path that cannot be shown."""
    parser = Parser(
        prog="rlm-eval view",
        description="Serve pages of runs on 127.0.0.1 and print their address; Ctrl-C ends it. The page of an "
        "unfinished run updates itself.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="run folder, several of them for one page, folder of runs for an index, trajectory of `rlm-eval ask`, "
        "report folder or report.html",
    )
    parser.add_argument(
        "--reveal", action="append", default=[], metavar="BENCHMARK", help="show the texts of a protected benchmark"
    )
    parser.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    words = parser.parse_args(argv)

    from benchmarks.report.page.view import serve

    ready = _tell if words.no_browser or not _has_desktop() else _open
    serve(words.runs, words.port, ready, frozenset(words.reveal))
    return 0


def _tell(address: str) -> None:
    print(f"viewing: {address}", flush=True)


def _open(address: str) -> None:
    import webbrowser

    _tell(address)
    webbrowser.open(address)


def _has_desktop() -> bool:
    # Without a display, the standard library would start a browser that takes over the terminal.
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
