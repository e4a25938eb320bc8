"""The page report.html: tables, figures, samples and trajectories in one file; large runs have a folder beside it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.report.about import facts_of, figure_note, warnings_of
from benchmarks.report.figures.all import TITLES
from benchmarks.report.page.contexts import CONTEXTS, context_names, write_contexts
from benchmarks.report.runs import REFERENCE, Run, Runs
from benchmarks.report.tables.formats import as_text, printable
from benchmarks.report.targets import target_text
from benchmarks.running.rows import REPORT_COLUMNS, SAMPLE_COLUMNS
from benchmarks.running.run_files import PACKED_BYTES, file_inside, write_whole
from benchmarks.sources.protect import HIDDEN, PREFIX, unseal
from rlm.reading import read_bounded
from rlm.unpacking import unpack

if TYPE_CHECKING:
    import pandas as pd

PAGE = Path(__file__).parent
SCRIPTS = (
    "dom", "store", "python", "text", "matrix", "figures", "overview", "list", "tree", "timeline", "trajectory", "find",
    "context", "sample", "main",
)  # fmt: skip
STYLES = ("style", "matrix", "figures", "trajectory", "print")
# The figures that can be on the first screen; a report shows one of them.
KEY_FIGURES = ("score_by_cost", "score_by_runtime")
FOLDER = "report_trajectories"
# The maximum bytes of compressed trajectories in the page. Larger runs have one file per trajectory next to it.
INLINE_BYTES = 6_000_000
# The maximum characters of a text in the list of samples. The trajectory has the complete text.
TEXT_CHARS = 1000
# Columns whose texts are hidden for protected benchmarks.
TEXTS = ("prediction", "extracted", "error", "target")
# Columns that are not shown with a sample.
LEFT_OUT = (
    "target_sha256", "started_at", "scorer", "protected", "max_depth", "as_published", "bucket", "documents",
    "own_method",
)  # fmt: skip


def write_page(
    runs: Runs,
    out: Path,
    tables: Mapping[str, pd.DataFrame],
    figures: Sequence[Path],
    *,
    notes: Mapping[str, str] | None = None,
    reveal: frozenset[str] = frozenset(),
    live: str = "",
    matrix: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write `out`/report.html, and a folder of trajectories if they are too large for one file; return the page.

    tables: by title, in the order of display. figures: PNG, SVG and CSV files with the same stem belong together.
    notes: texts below the tables, by title. reveal: protected benchmarks whose texts are shown. matrix: methods by
    benchmarks, see `Matrix.for_page`.
    live: the stamp of a run under way, which the page compares with that of its server; empty for a finished run.
    Raises ConfigError if `reveal` names a benchmark without samples.
    """
    samples = runs.samples.reset_index(drop=True)
    unknown = sorted(reveal - set(samples["benchmark"]))
    if unknown:
        known = ", ".join(samples["benchmark"].unique())
        raise ConfigError(f"--reveal is {unknown[0]!r}: expected one of the benchmarks {known or '(none)'}")
    for name, default in (("protected", False), ("trajectory", None)):
        if name not in samples:
            samples[name] = default
    hidden = samples["protected"].fillna(False).astype(bool) & ~samples["benchmark"].isin(reveal)
    packed = _Trajectories(runs, samples, hidden)
    contexts = context_names(runs.runs, samples, hidden)
    details = [name for name in samples.columns if name not in SAMPLE_COLUMNS and name not in REPORT_COLUMNS]
    names = [run.name for run in runs.runs]
    data = {
        "title": ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
        "folder": FOLDER,
        "runs": [_run(run) for run in runs.runs],
        "matrix": matrix,
        "tables": [_table(title, table, (notes or {}).get(title, "")) for title, table in tables.items()],
        "figures": _figures(figures),
        "samples": {
            "size": len(samples),
            "columns": _columns(samples, hidden, packed.numbers, details) | {"context_file": {"values": contexts}},
        },
        "details": details,
        "reference": list(REFERENCE),
        "live": live,
        "contexts": CONTEXTS,
    }
    out.mkdir(parents=True, exist_ok=True)
    beside = out / FOLDER
    shutil.rmtree(beside, ignore_errors=True)
    inline: Iterable[tuple[int, str]] = ()
    written = [out / "report.html"]
    write_contexts(runs.runs, contexts, out / CONTEXTS)
    if packed.size <= INLINE_BYTES:
        inline = packed
    else:
        beside.mkdir()
        written.append(beside)
        for number, text in packed:
            (beside / f"{number}.js").write_text(f'rlmTrajectory({number}, "{text}");\n', encoding="ascii")
    write_whole(out / "report.html", _render(data, list(inline)))
    return written


class _Trajectories:
    """The compressed trajectory files of the visible samples, as pairs of number and base64 text."""

    def __init__(self, runs: Runs, samples: pd.DataFrame, hidden: pd.Series) -> None:
        self._files: list[tuple[Path, bool]] = []
        self.numbers: list[int | None] = []
        self.size = 0
        folders = [run.path for run in runs.runs]
        rows = zip(samples["trajectory"], samples["run"], samples["protected"], hidden, strict=True)
        places: dict[tuple[Path, bool], int] = {}
        for relative, run, protected, hide in rows:
            file = None
            if isinstance(relative, str) and relative and not hide:
                file = file_inside(folders[int(run)], relative)
            if file is None:
                self.numbers.append(None)
                continue
            # The rows of an untrusted table can name one file a million times.
            found = file, bool(protected)
            if found not in places:
                places[found] = len(self._files)
                self._files.append(found)
                self.size += file.stat().st_size
            self.numbers.append(places[found])

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for number, (file, protected) in enumerate(self._files):
            try:
                content = read_bounded(file, PACKED_BYTES)
                content = _unsealed(content) if protected else content
            except (OSError, EOFError, ValueError, zlib.error) as error:
                event = {"kind": "error", "text": f"the trajectory cannot be read: {error}"}
                content = gzip.compress(json.dumps(event).encode(), compresslevel=1, mtime=0)
            yield number, base64.b64encode(content).decode("ascii")


def _unsealed(content: bytes) -> bytes:
    text = unseal(unpack(content).decode("utf-8", "surrogatepass"))
    return gzip.compress(text.encode("utf-8", "surrogatepass"), compresslevel=1, mtime=0)


def _columns(
    samples: pd.DataFrame, hidden: pd.Series, numbers: list[int | None], details: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the samples by column: numbers as values, texts as codes into a list of words."""
    import pandas as pd

    table = samples.drop(columns=[name for name in LEFT_OUT if name in samples])
    columns = {}
    for name in table.columns:
        column = table[name]
        if name == "trajectory":
            columns[name] = {"values": numbers}
        elif pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            columns[name] = {"values": [_plain(value) for value in column.tolist()]}
        else:
            private = name in TEXTS or name in details
            as_target = name == "target"
            texts = [_text(value, hide, private, as_target) for value, hide in zip(column, hidden, strict=True)]
            codes, words = pd.factorize(pd.Series(texts, dtype=object), use_na_sentinel=True)
            columns[name] = {"codes": codes.tolist(), "words": list(words)}
    columns["hidden"] = {"values": hidden.tolist()}
    return columns


def _text(value: Any, hide: bool, private: bool, as_target: bool) -> str | None:
    import pandas as pd

    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    text = str(value)
    if hide and text and (private or text.startswith(PREFIX)):
        return HIDDEN
    if text.startswith(PREFIX):
        try:
            text = unseal(text)
        except ValueError:
            text = HIDDEN
    if as_target:
        text = target_text(text)
    # The part of an answer that is scored is often at its end.
    half = TEXT_CHARS // 2
    omitted = len(text) - TEXT_CHARS
    return text if omitted <= 0 else f"{text[:half]} […{omitted:,} characters…] {text[-half:]}"


def _plain(value: Any) -> Any:
    """Convert a value for JSON: infinite numbers and NaN become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _table(title: str, table: pd.DataFrame, note: str) -> dict[str, Any]:
    import pandas as pd

    shown = as_text(table)
    numeric = [pd.api.types.is_numeric_dtype(table.iloc[:, i]) for i in range(table.shape[1])]
    keys = [
        [_plain(value) for value in table.iloc[:, i].tolist()] if is_number else _sort_keys(shown.iloc[:, i].tolist())
        for i, is_number in enumerate(numeric)
    ]
    return {
        "title": title,
        "note": note.strip().replace("\\*", "*"),
        "columns": [
            {"name": str(name), "numeric": is_number or (keys[i] is not None and _bare(shown.iloc[:, i].tolist()))}
            for i, (name, is_number) in enumerate(zip(table.columns, numeric, strict=True))
        ],
        "rows": [[str(cell) for cell in row] for row in shown.itertuples(index=False)],
        "keys": keys,
    }


def _sort_keys(texts: Sequence[str]) -> list[float | None] | None:
    """Return the number at the start of each text (`56.0* [42.3, 68.8]`, `$1.20`); None if a text has none."""
    keys = [_leading_number(text) for text in texts]
    found = [key for key, text in zip(keys, texts, strict=True) if text]
    return keys if found and None not in found else None


def _bare(texts: Sequence[str]) -> bool:
    """True if no text contains a letter."""
    return not any(character.isalpha() for text in texts for character in text)


def _leading_number(text: str) -> float | None:
    word = str(text).lstrip("$+<≥≤~ ").split(" ", 1)[0].rstrip("*†%;:)").replace(",", "").replace("−", "-")
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _figures(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return figures as data URLs, which cannot run scripts, with the tables of their values. SVG is preferred."""
    import pandas as pd

    stems = list(dict.fromkeys(file.with_suffix("") for file in files))
    kinds = {file.suffix: "image/svg+xml" if file.suffix == ".svg" else "image/png" for file in files}
    figures = []
    for stem in stems:
        picture = next((stem.with_suffix(end) for end in (".svg", ".png") if stem.with_suffix(end) in files), None)
        if picture is None:
            continue
        title = TITLES.get(stem.name, stem.name.replace("_", " ").capitalize())
        source = base64.b64encode(picture.read_bytes()).decode("ascii")
        behind = stem.with_suffix(".csv")
        table = _table(title, pd.read_csv(behind), "") if behind in files and behind.stat().st_size > 1 else None
        source = f"data:{kinds[picture.suffix]};base64,{source}"
        about = {
            "note": figure_note(picture),
            "key": stem.name in KEY_FIGURES,
            "width": _width(picture),
        }
        figures.append({"title": title, "source": source, "table": table} | about)
    return figures


def _width(picture: Path) -> float | None:
    """Return the width of an SVG picture of the report in points, None for other pictures."""
    found = re.search(rb'<svg[^>]*? width="([\d.]+)pt"', picture.read_bytes()[:2000])
    return float(found[1]) if found and picture.suffix == ".svg" else None


def _run(run: Run) -> dict[str, Any]:
    return {"name": run.name, "facts": list(facts_of(run).items()), "warnings": warnings_of(run)}


def _render(data: Mapping[str, Any], trajectories: list[tuple[int, str]]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    style = "\n".join((PAGE / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)
    code = "\n".join((PAGE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{code}\n}})();\n'
    # strict-dynamic allows this script, identified by its hash, to load the trajectory files next to the page.
    policy = (
        f"default-src 'none'; script-src {policy_hash(script)} 'strict-dynamic'; style-src {policy_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("template.html").render(
        title=printable(data["title"]),
        policy=policy,
        style=style,
        script=script,
        data=json_for_html(data),
        trajectories=trajectories,
    )


def json_for_html(value: Any) -> str:
    """Encode JSON without characters that could end the surrounding script element or be read as markup."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def policy_hash(content: str) -> str:
    """Return the source expression that allows an inline script or style in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}'"
