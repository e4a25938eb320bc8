#!/usr/bin/env python3
"""Write docs/columns.md from the declarations in benchmarks/running/rows.py."""

import sys
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.running.rows import CallRow, SampleRow, columns  # noqa: E402

PAGE = ROOT / "docs" / "columns.md"


def columns_page() -> str:
    """docs/columns.md."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Columns"
    yield ""
    yield "The columns of a run's tables; written by `scripts/columns_docs.py` from `benchmarks/running/rows.py`."
    yield "A column that is missing in the rows of an older run has the value under *older runs*."
    for title, row in (("samples.parquet", SampleRow), ("calls.parquet", CallRow)):
        yield from ("", f"## {title}", "", (row.__doc__ or "").strip(), "")
        yield from ("| column | type | older runs | meaning |", "|---|---|---|---|")
        for name, one in columns(row).items():
            older = "required" if one.default is MISSING else _json_word(one.default)
            kind = one.expectation.removeprefix("a ").removeprefix("an ")
            yield f"| `{name}` | {kind} | {older} | {one.description} |"
        if row is SampleRow:
            yield ""
            yield "Further columns are details that the benchmark's scorer reports besides the score, such as"
            yield "`precision` and `recall`. A detail's name is an identifier that is no column of this table."


def _json_word(value: Any) -> str:
    words = {None: "null", "": "empty", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) or value == "" else str(value)


if __name__ == "__main__":
    PAGE.write_text(columns_page(), encoding="utf-8")
