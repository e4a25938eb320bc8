"""The contexts of samples for the page, in pieces: files beside the page, or from the run folder when it is served."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report.runs import Run
from benchmarks.running.contexts import FOLDER, find_context, read_context

if TYPE_CHECKING:
    import pandas as pd

CONTEXTS = "report_contexts"
# The maximum bytes of compressed contexts beside a page. `rlm-eval view` reads larger ones from the run folder.
BESIDE_BYTES = 20_000_000
PIECE_CHARS = 200_000


def context_names(runs: Sequence[Run], samples: pd.DataFrame, hidden: pd.Series) -> list[str | None]:
    """Return for each sample the number of its run and the path of its context; None without a visible context."""
    rows = zip(samples["run"].astype(int), samples["benchmark"], samples["sample_id"], hidden, strict=True)
    known: dict[tuple[int, str, str], str | None] = {}
    found = []
    for number, benchmark, sample_id, hide in rows:
        key = (number, str(benchmark), str(sample_id))
        if key not in known:
            relative = None if hide else find_context(runs[number].path, key[1], key[2])
            known[key] = f"{number}/{relative}" if relative else None
        found.append(known[key])
    return found


def write_contexts(runs: Sequence[Run], names: Sequence[str | None], out: Path) -> None:
    """Write contexts in pieces into the folder `out`, unless they are too large together. Raises ConfigError."""
    shutil.rmtree(out, ignore_errors=True)
    files = {}
    for name in sorted({name for name in names if name}):
        number, relative = name.split("/", 1)
        files[name] = runs[int(number)].path, relative
    if sum((run / FOLDER / relative).stat().st_size for run, relative in files.values()) > BESIDE_BYTES:
        return
    for name, (run, relative) in files.items():
        text = read_context(run, relative)
        (out / name).mkdir(parents=True)
        for piece in range(piece_count(text)):
            (out / name / f"{piece}.js").write_bytes(piece_script(name, text, piece))


def piece_count(text: str) -> int:
    return max(1, -(-len(text) // PIECE_CHARS))


def piece_script(name: str, text: str, piece: int) -> bytes:
    """Return the script that hands a piece of a context to the page."""
    part = text[piece * PIECE_CHARS : (piece + 1) * PIECE_CHARS].encode("utf-8", "surrogatepass")
    packed = base64.b64encode(gzip.compress(part, compresslevel=1, mtime=0)).decode("ascii")
    return f"rlmContext(...{json.dumps([name, piece, piece_count(text), len(text), packed])});\n".encode()
