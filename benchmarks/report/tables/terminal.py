"""Tables arranged for reading: fewer columns, score and interval in one cell, and the one-screen table of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report.runs import REFERENCE, tokens
from benchmarks.report.tables.formats import dagger, markdown, money, with_interval

if TYPE_CHECKING:
    import pandas as pd

KINDS = (
    ("context_overflow", "over window"), ("limit", "limit"), ("error", "error"), ("unscored", "unscored"),
    ("no_answer", "no answer"), ("truncated", "truncated"), ("wrong_format", "wrong format"),
)  # fmt: skip
Columns = list[tuple[str, list[str]]]


def scores_display(scores: pd.DataFrame) -> pd.DataFrame:
    """Table 1 for reading, from `scores_table`."""
    import pandas as pd

    rows = []
    for row in scores.to_dict("records"):
        verdict = row["verdict"]
        if not missing(row["samples_to_tell"]):
            verdict += f" ({row['samples_to_tell']:.0f} would)"
        rows.append({
            "benchmark": setting(row),
            "method": row["method"],
            "model": row["model"],
            "score [95% interval]": score_cell(row),
            "n": row["n"],
            "windows": row["windows"],
            "failures": failures_cell(row),
            "cost mean ± sd": cost_cell(row),
            "paper": paper_cell(row),
            "verdict": verdict,
        })  # fmt: skip
    table = pd.DataFrame(rows)
    return table if table.empty or table["paper"].any() else table.drop(columns=["paper", "verdict"])


def compact(scores: pd.DataFrame, width: int = 100) -> str:
    """Methods by benchmarks on one screen: `score* [interval] cost`, n in the heading or, if it differs, in the cell.

    A benchmark of several lengths, or numbers of documents, has a block of its own with a column each. What does not
    fit beside each other within `width` characters follows in further blocks.
    """
    import pandas as pd

    if scores.empty:
        return "(no samples)\n"
    arms = list(dict.fromkeys(zip(scores["method"], scores["model"], strict=True)))
    models = {model for _, model in arms if model}
    labels = [f"{method}, {model}" if len(models) > 1 and model else method for method, model in arms]
    beside: Columns = []
    blocks: list[tuple[str, Columns]] = [("method", beside)]
    for benchmark, group in scores.groupby("benchmark", sort=False):
        if group["size"].isna().all():
            beside.append(_column(str(benchmark), group, arms))
        else:
            counts = sorted(set(group["n"]))
            corner = f"{benchmark} (n={'-'.join(map(str, counts[:1] + counts[1:][-1:]))})"
            by_size = group.groupby("size")
            blocks.append((corner, [_size_column(size, part, arms) for size, part in by_size]))
    shown = [
        markdown(pd.DataFrame({corner: labels} | dict(part)))
        for corner, columns in blocks
        for part in _fitting(corner, labels, columns, width)
    ]
    return "\n".join(shown) + _notes(scores, models)


def pairs_display(pairs: pd.DataFrame) -> pd.DataFrame:
    """Table 3 for reading, from `paired_table`."""
    import pandas as pd

    rows = []
    for row in pairs.to_dict("records"):
        mark = dagger(row["scope"])
        rows.append({
            "benchmark": setting(row),
            "method": row["method"],
            "model": row["model"],
            "difference [95% interval]": with_interval(row["difference"], row["low"], row["high"], mark),
            "p": row["p"],
            "p (Holm)": row["p_holm"],
            "detectable": ">100" if row["detectable"] > 100 else row["detectable"],
            "n": row["n"],
            "unpaired": row["unpaired"],
            "solved alone": row["only_method"],
            "by baseline alone": row["only_baseline"],
            "by both": row["both"],
            "by neither": row["neither"],
            "verdict": row["verdict"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def effective_display(lengths: pd.DataFrame) -> pd.DataFrame:
    """Effective context lengths for reading, from `effective_lengths`."""
    import pandas as pd

    rows = []
    for row in lengths.to_dict("records"):
        bars = {"threshold": f"{row['bar_score']:.1f}", "own": f"{row['bar_score']:.1f} (share of its own)"}
        rows.append({
            "benchmark": row["benchmark"], "method": row["method"], "model": row["model"], "bar": bars[row["bar"]],
            "effective length [95% interval]": said_length(row, "effective_length"), "n": row["n"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def crossover_display(lengths: pd.DataFrame) -> pd.DataFrame:
    """Crossover lengths for reading, from `crossover_lengths`."""
    import pandas as pd

    rows = []
    for row in lengths.to_dict("records"):
        cell = {name: row[name] for name in ("benchmark", "method", "model")}
        said = said_length(row, "crossover")
        rows.append(cell | {f"overtakes {row['baseline']} at [95% interval]": said, "n": row["n"]})
    return pd.DataFrame(rows)


def said_length(row: dict[str, Any], column: str) -> str:
    """A length with its interval: `16K [8K, 32K]`, `below 8K`, `1M or more`, `not reached`."""

    def say(value: float) -> str:
        if value == 0:
            return f"below {tokens(row['shortest'])}"
        if math.isinf(value):
            return "not reached"
        if column == "effective_length" and value == row["longest"]:
            return f"{tokens(value)} or more"
        if column == "crossover" and value == row["shortest"]:
            return f"{tokens(value)} or less"
        return tokens(value)

    return f"{say(row[column])} [{say(row['low'])}, {say(row['high'])}]"


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """The table for reading: lengths as they are said, scores with their interval, no column that is empty."""
    import pandas as pd

    shown = table.copy(deep=False)
    for name in ("length", "size", "context_limit"):
        if name in shown:
            shown[name] = ["" if pd.isna(value) else tokens(value) for value in shown[name]]
    if {"score", "low", "high", "scope"} <= set(shown.columns):
        parts = (shown["score"], shown["low"], shown["high"], shown["scope"].map(dagger))
        cells = [with_interval(*values) for values in zip(*parts, strict=True)]
        shown.insert(shown.columns.get_loc("score"), "score [95% interval]", cells)
        shown = shown.drop(columns=["score", "low", "high", "scope"])
    shown = shown.drop(columns=[name for name in shown.columns if _says_nothing(shown[name])])
    return shown.rename(columns={name: str(name).replace("_", " ").replace(" usd", ", USD") for name in shown.columns})


def details_display(details: pd.DataFrame) -> pd.DataFrame:
    """What scorers told, a row a benchmark and method and a column a detail, from `details_table`.

    A cell that is not of all samples of its row has its own n behind it.
    """
    import pandas as pd

    if details.empty:
        return details
    rows = []
    for cell, group in details.groupby(["benchmark", "method", "model"], sort=False):
        told = dict(zip(("benchmark", "method", "model"), cell, strict=True)) | {"n": int(group["n"].max())}
        for row in group.to_dict("records"):
            heading = row["detail"] + (" %" if row["unit"] == "%" else "")
            told[heading] = f"{row['mean']:.1f}" + ("" if row["n"] == told["n"] else f" (n={row['n']})")
        rows.append(told)
    return pd.DataFrame(rows).fillna("")


def without_common_model(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the column of models if all rows are of one, which the head of the report names."""
    if "model" not in table or len(set(table["model"]) - {""}) > 1:
        return table
    return table.drop(columns=["model"])


def setting(row: dict[str, Any]) -> str:
    """Benchmark and, where it has several, length or number of documents: `oolong 8K`."""
    return f"{row['benchmark']} {tokens(row['size'])}".strip()


def score_cell(row: dict[str, Any]) -> str:
    """Score with interval, the asterisk of the context limit and the dagger of too few context windows."""
    return with_interval(row["score"], row["low"], row["high"], _marks(row))


def failures_cell(row: dict[str, Any]) -> str:
    """`3 over window, 1 error`; kinds without a case are left out."""
    return ", ".join(f"{row[kind]} {name}" for kind, name in KINDS if row[kind])


def cost_cell(row: dict[str, Any]) -> str:
    """Mean and standard deviation of the cost of a sample, `free`, or `unknown`."""
    if row["cost_state"] == "free":
        return "" if row["method"] in REFERENCE else "free"
    if missing(row["cost_mean_usd"]):
        return "unknown"
    spread = "" if missing(row["cost_sd_usd"]) else f" ± {money(row['cost_sd_usd']).lstrip('$')}"
    return money(row["cost_mean_usd"]) + spread + (" (part unknown)" if row["cost_state"] == "unknown" else "")


def paper_cell(row: dict[str, Any]) -> str:
    """The paper's figure: `24.0* (n=50, $0.13)`, with its asterisk of the context limit and its mean cost."""
    if missing(row["published"]):
        return ""
    cost = "" if missing(row["published_cost_usd"]) else f", {money(row['published_cost_usd'])}"
    asterisk = "*" if row["published_hit_context_limit"] is True else ""
    return f"{row['published']:.1f}{asterisk} (n={row['published_n']:.0f}{cost})"


def missing(value: Any) -> bool:
    """Whether a cell of a table holds nothing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _says_nothing(column: pd.Series) -> bool:
    """Whether a column is empty, or holds costs of which none is paid and none unknown."""
    if column.isna().all() or (column == "").all():
        return True
    return any(word in str(column.name) for word in ("cost", "unknown")) and bool((column.fillna(0) == 0).all())


def _column(heading: str, group: pd.DataFrame, arms: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    same = group["n"].nunique() == 1
    cells = {}
    for row in group.to_dict("records"):
        score = f"{row['score']:.1f}{_marks(row)} [{row['low']:.0f}, {row['high']:.0f}]"
        cost = {"free": "", "unknown": " $?", "known": f" {money(row['cost_mean_usd'])}"}[row["cost_state"]]
        cells[row["method"], row["model"]] = score + cost + ("" if same else f" n={row['n']}")
    return f"{heading} (n={group['n'].iloc[0]})" if same else heading, [cells.get(arm, "") for arm in arms]


def _size_column(size: float, group: pd.DataFrame, arms: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    cells = {
        (row["method"], row["model"]): f"{row['score']:.0f}{_marks(row)} [{row['low']:.0f},{row['high']:.0f}]"
        for row in group.to_dict("records")
    }
    return tokens(size), [cells.get(arm, "") for arm in arms]


def _fitting(corner: str, labels: Sequence[str], columns: Columns, width: int) -> list[Columns]:
    parts: list[Columns] = []
    start = max(map(len, [*labels, corner])) + 4
    used = width + 1
    for heading, cells in columns:
        size = max(map(len, [heading, *cells])) + 3
        if used + size > width:
            parts.append([])
            used = start
        parts[-1].append((heading, cells))
        used += size
    return parts


def _marks(row: dict[str, Any]) -> str:
    return ("*" if row["hit_context_limit"] else "") + dagger(row["scope"])


def _notes(scores: pd.DataFrame, models: set[str]) -> str:
    paid = (scores["cost_state"] == "known").any() and scores["size"].isna().any()
    notes = ["score in percent [95% interval]" + (", mean cost of a sample" if paid else "")]
    if len(models) == 1:
        notes.append(f"model: {next(iter(models))}")
    failed = {name: int(scores[kind].sum()) for kind, name in KINDS}
    if any(failed.values()):
        told = ", ".join(f"{count} {name}" for name, count in failed.items() if count)
        notes.append(f"all samples count in n; among them: {told}")
    if scores["hit_context_limit"].any():
        notes.append("* hit the context limit")
    if (scores["scope"] != "population").any():
        notes.append("† one or two context windows: the interval holds for these only")
    return "\n".join(notes) + "\n"
