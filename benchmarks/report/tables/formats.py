"""Formats numbers and cells as text, and tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm import terminal

if TYPE_CHECKING:
    import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """Format a Markdown table with padded columns; numbers are right-aligned."""
    from rich.cells import cell_len

    if table.empty:
        return "(no rows)\n"
    shown = as_text(table)
    numeric = [_is_numeric(table[name]) for name in table.columns]
    names = [markdown_cell(str(name)) for name in shown.columns]
    rows = [[markdown_cell(value) for value in row] for row in shown.itertuples(index=False)]
    widths = [max(3, *(cell_len(row[i]) for row in [names, *rows])) for i in range(len(names))]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = (
            " " * (width - cell_len(cell)) + cell if right else cell + " " * (width - cell_len(cell))
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )  # fmt: skip
        return "| " + " | ".join(padded) + " |"

    return "\n".join([line(names), line(rule), *map(line, rows)]) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "±": r"$\pm$", "≥": r"$\geq$",
    "≤": r"$\leq$", "∞": r"$\infty$", "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}",
}  # fmt: skip


# Latin letters that the T1 encoding lacks.
_NOT_IN_FONTS = "ĈĉĊċĦħĴĵĸĿŀŉŦŧſ"


def latex_text(text: str) -> str:
    """Escape text for LaTeX; letters that its usual fonts lack are shown by their code point, such as `(U+4E2D)`."""
    return "".join(_latex_character(character) for character in printable(text))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    latin = "\u00c0" <= character <= "\u017f" and character.isalpha() and character not in _NOT_IN_FONTS
    return character if character.isascii() or latin else f"(U+{ord(character):04X})"


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write the values of a table, without control characters, and with an apostrophe before text like a formula."""
    safe = table.copy(deep=False)
    for name in safe.columns:
        if not _is_numeric(safe[name]):
            safe[name] = safe[name].map(_csv_text)
    safe.columns = [_csv_text(name) for name in safe.columns]
    safe.to_csv(path, index=False, lineterminator="\n")
    return path


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with every cell as text."""
    shown = table.copy(deep=False)
    for name in shown.columns:
        shown[name] = [number(value, str(name)) for value in table[name]]
    return shown.astype(object)


def number(value: Any, column: str = "") -> str:
    """Format a value by its type and the name of its column; a missing value is an empty text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    try:
        size = float(value)
    except (TypeError, ValueError):
        return "" if str(value) in ("<NA>", "NaT") else str(value)
    if math.isnan(size):
        return ""
    if column.endswith(("_usd", ", USD")):
        return money(size)
    if column == "p" or column.startswith("p "):
        return "<0.001" if size < 0.001 else f"{size:.3f}"
    if math.isinf(size):
        return "∞" if size > 0 else "-∞"
    if size == int(size) and type(value).__name__.startswith(("int", "Int")):
        return f"{int(size):,}"
    if abs(size) >= 1000:
        return f"{size:,.0f}"
    return f"{size:.1f}" if abs(size) >= 1 or size == 0 else f"{size:.3g}"


def money(dollars: float) -> str:
    """Format dollars: whole cents, and below ten cents two significant digits."""
    return "$0" if dollars == 0 else f"${dollars:,.{_decimals(dollars)}f}"


def money_with_spread(mean: float, spread: float) -> str:
    """Format a mean in dollars with its spread, both with the decimals of the mean: `$0.012 ± $0.004`."""
    if math.isnan(spread):
        return money(mean)
    decimals = _decimals(mean)
    return f"${mean:,.{decimals}f} ± ${spread:,.{decimals}f}"


def seconds(value: float) -> str:
    """Format seconds with a tenth of a second below ten; empty for NaN."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f} s" if value >= 10 else f"{value:.1f} s"


def _decimals(dollars: float) -> int:
    return 2 if dollars == 0 else max(2, 1 - math.floor(math.log10(abs(dollars))))


def tokens(length: float) -> str:
    """Format a number of tokens: 8192 is `8K`, 1048576 is `1M`, 39000 is `39,000`; empty for NaN.

    Different numbers get different texts: a number is shortened only if three digits give its exact value.
    """
    if length is None or math.isnan(length):
        return ""
    for size, letter in ((2**20, "M"), (2**10, "K")):
        shown = f"{length / size:.3g}"
        if length >= size and "e" not in shown and float(shown) * size == length:
            return f"{shown}{letter}"
    return f"{length:,.0f}" if length > 9999 else f"{length:.0f}"


def with_interval(score: float, low: float, high: float, mark: str = "") -> str:
    """Format a score with its interval: `56.0* [42.3, 68.8]`; an empty text for NaN."""
    return "" if math.isnan(score) else f"{score:.1f}{mark} [{low:.1f}, {high:.1f}]"


def dagger(scope: str) -> str:
    """Return the mark of an interval that holds only for its own context windows."""
    return "" if scope in ("population", "") else "†"


def markdown_cell(text: str) -> str:
    """Format text as a cell of a Markdown table, with markup and links escaped."""
    escaped = printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("](", "]\\(")


def printable(text: str) -> str:
    """Return text as one line, without characters that a terminal would act on."""
    return terminal.printable(" ".join(text.split()))


# The characters with which spreadsheets begin a formula, also in their full width.
_FORMULA = tuple("=+-@＝＋－＠")


def _csv_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = terminal.printable(re.sub(r"[\r\n\t]+", " ", value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _is_numeric(column: pd.Series) -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
