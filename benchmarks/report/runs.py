"""Loads run folders: one table of samples, one of calls, and the manifests."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.several import sections_of
from benchmarks.report.published import QUESTION_FORMS
from benchmarks.running.journal import read_journal
from benchmarks.running.manifest import read_manifest
from benchmarks.running.rows import CallRow, SampleRow, defaults
from benchmarks.running.run_files import newer_than_journal
from benchmarks.running.tables import calls_table, read_calls, read_samples, refresh_tables, samples_table

if TYPE_CHECKING:
    import pandas as pd

# A key of pandas' attrs, which most operations keep.
_PREPARED = "prepared"
# Benchmarks, methods and models that one run may have.
_MAX_NAMES = 100
# Reference rows, which have no method, no calls and no cost.
REFERENCE = ("oracle", "floor")
# The flags of a row that change the meaning of its score.
MARKS = ("prompt_cut", "answer_cut", "untagged")
SAMPLE_KEY = ("benchmark", "method", "sample_id", "epoch")
_CALL_COLUMNS = (
    "call_id", "benchmark", "method", "sample_id", "epoch", "depth", "role", "model", "prompt_tokens", "cached_tokens",
    "completion_tokens", "reasoning_tokens", "cost_usd", "cost_state", "finish_reason", "latency_s", "retries",
    "cache_hit", "sample_model",
)  # fmt: skip


_ORIGIN_COLUMNS = ("method", "role", "depth", "model", "provider", "system_fingerprint")


@dataclass(frozen=True)
class Run:
    """A run folder and its manifest.

    missing: number of planned samples that are not done. repeated: number of rows that a later row of the same sample
    replaces. mixed: warnings on calls of one role that several providers, systems or models answered.
    """

    path: Path
    manifest: Mapping[str, Any]
    missing: int
    repeated: int = 0
    mixed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return str(self.manifest.get("name") or self.path.name)


@dataclass(frozen=True)
class Runs:
    """Samples of one or more runs, with the columns of `prepare` and the number of their run.

    names: the new names of methods that occur in several runs, by (method, run).
    """

    runs: tuple[Run, ...]
    samples: pd.DataFrame
    names: Mapping[tuple[str, int], str]

    @property
    def baseline(self) -> str | None:
        """Return the baseline of the first run's configuration under its new name; None if no sample has it."""
        report = (self.runs[0].manifest.get("config") or {}).get("report") or {}
        baseline = self.called(report.get("baseline"))
        return baseline if baseline in set(self.samples["method"]) else None

    def called(self, method: str | None) -> str | None:
        """Return the new name of a method of the first run."""
        return self.names.get((str(method), 0), method)


def load_runs(paths: Sequence[Path]) -> Runs:
    """Read the samples of finished or unfinished run folders; from the journal if the tables are out of date.

    Methods with the same name and samples in several runs are renamed after their run: `rlm (run-2)`. Raises
    ConfigError for a folder that is not a run or cannot be read, and for an empty list.
    """
    import pandas as pd

    if not paths:
        raise ConfigError("no run folder was given: expected at least one")
    runs, samples = [], []
    for path in map(Path, paths):
        manifest = read_manifest(path)
        every = _samples(path)
        _check_names(path, every)
        rows = every[~every.duplicated([*SAMPLE_KEY, *({"model"} & set(every.columns))], keep="last")]
        planned = int(manifest.get("samples_planned") or len(rows))
        mixed = tuple(mixed_origins(rows, _calls(path, _ORIGIN_COLUMNS)))
        runs.append(Run(path, manifest, max(0, planned - len(rows)), len(every) - len(rows), mixed))
        samples.append(_with_settings(rows, manifest).assign(run=len(runs) - 1))
    together = prepare(pd.concat([frame for frame in samples if len(frame)] or samples[:1], ignore_index=True))
    # Two runs over the same samples have equal reference rows.
    reference = together["method"].isin(REFERENCE)
    together = together[~(reference & together.duplicated([*SAMPLE_KEY, "target_sha256"]))]
    names = _names(together, runs)
    return Runs(tuple(runs), _renamed(together.assign(own_method=together["method"]), names), names)


def mixed_origins(samples: pd.DataFrame, calls: pd.DataFrame) -> Iterator[str]:
    """Return lines on calls of one method and role that several providers, systems or models answered."""
    for (method, role, model), group in calls.groupby(["method", "role", "model"], observed=True):
        for column, what in (("provider", "providers"), ("system_fingerprint", "system fingerprints")):
            yield from _mixed(f"the {role} calls of {method} ({model})", group[column], what)
    # Children of an RLM also have roots, often of another model.
    for (method, role), group in calls[calls["depth"] <= 1].groupby(["method", "role"], observed=True):
        group = group[group["depth"] == 0] if role == "root" else group
        # A run may have several models. Each has one name, unless the endpoint returns others.
        rows = samples[samples["method"] == method]
        column = "model" if role == "root" else "sub_model"
        asked = rows[column].nunique() if column in rows and role in ("root", "sub") else 1
        yield from _mixed(f"the {role} calls of {method}", group["model"], "model names", max(1, asked))


def _mixed(calls: str, values: pd.Series, what: str, expected: int = 1) -> Iterator[str]:
    found = sorted(set(values.dropna().astype(str)) - {""})
    if len(found) > expected:
        yield f"{calls} mix {len(found)} {what}: {', '.join(found[:3])}{' ...' if len(found) > 3 else ''}"


def load_calls(runs: Runs) -> pd.DataFrame:
    """Load the calls of these runs, with the columns that the tables read and `run`.

    Methods are named as in the samples.
    """
    import pandas as pd

    tables = [_calls(run.path, _CALL_COLUMNS).assign(run=number) for number, run in enumerate(runs.runs)]
    calls = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    return _renamed(_with_sample_model(calls, runs.samples), runs.names)


def _with_sample_model(calls: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Fill in the model of the sample in calls of runs before 0.2, which have one model."""
    models = samples.groupby("run")["model"].agg(lambda names: next((name for name in names if name), ""))
    given = calls["sample_model"].astype(object)
    return calls.assign(sample_model=given.where(given.notna(), calls["run"].map(models)))


def with_replayed_time(samples: pd.DataFrame, calls: pd.DataFrame) -> pd.DataFrame:
    """Return samples whose wall_s includes the original time of their replayed calls.

    A call is replayed if another method or an earlier session made the same call. Without its time, the later method
    would appear faster than it is.
    """
    key = [*SAMPLE_KEY, "model", "run"]
    replayed = calls[calls["cache_hit"].astype("boolean").fillna(False).astype(bool)]
    if replayed.empty:
        return samples
    texts = {name: replayed[name].astype(object) for name in SAMPLE_KEY if name != "epoch"}
    texts["model"] = replayed["sample_model"].astype(object)
    spent = replayed.assign(**texts).groupby(key, as_index=False).agg(replayed_s=("latency_s", "sum"))
    added = samples[key].merge(spent, on=key, how="left")["replayed_s"].fillna(0.0)
    return samples.assign(wall_s=samples["wall_s"].to_numpy(float) + added.to_numpy(float))


def tables_are_current(path: Path) -> bool:
    """True if samples.parquet is not older than the journal."""
    return newer_than_journal(path / "samples.parquet", path)


def refresh(path: Path) -> None:
    """Write the tables of a run folder from its journal if they are out of date.

    Does nothing while a run is in progress; `load_runs` then reads the journal itself.
    """
    if tables_are_current(path) or in_use(path):
        return
    # `load_runs` reports an unreadable journal.
    with contextlib.suppress(ValueError, KeyError):
        refresh_tables(path)


def in_use(path: Path) -> bool:
    """True if a run holds one of its locks, the file `run.lock` or the folder."""
    for locked in (path / "run.lock", path):
        try:
            lock = os.open(locked, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            # Network file systems do not lock folders.
            if locked != path or error.errno in (errno.EACCES, errno.EAGAIN):
                return True
        finally:
            os.close(lock)
    return False


def prepare(samples: pd.DataFrame) -> pd.DataFrame:
    """Add every column that the tables read, and replace missing values that would drop a row.

    A row without a score counts as 0 and is marked `unscored` if its status is ok. `failed` marks errors and unscored
    rows. `bucket` is the length, or the number of documents, if a benchmark has several, else 0; a table that has the
    column keeps it. `documents` is read from the task group of benchmarks that are collections. A cost that is not an
    amount of money is unknown. Prepared samples are returned unchanged.
    """
    if samples.attrs.get(_PREPARED):
        return samples
    import numpy as np
    import pandas as pd

    table = samples.reset_index(drop=True)
    for name, default in _DEFAULTS.items():
        if name not in table:
            table[name] = default
    for name in ("model", "sub_model", "task_group", "complexity", "stop_reason", "error", "cost_state", "metric"):
        table[name] = table[name].astype(object).where(table[name].notna(), "").astype(str)
    table["status"] = table["status"].astype(object).where(table["status"].notna(), "ok").astype(str)
    for name in ("cost_usd", "cost_uncached_usd", "wall_s"):
        amounts = pd.to_numeric(table[name], errors="coerce").astype("float64")
        table[name] = amounts.where(np.isfinite(amounts) & (amounts >= 0))
    unpriced = table["cost_usd"].isna() & (table["cost_state"] != "free")
    table["cost_state"] = table["cost_state"].mask(unpriced, "unknown")
    table["cluster"] = table["cluster"].where(table["cluster"].notna(), table["sample_id"]).astype(str)
    table["score"] = pd.to_numeric(table["score"], errors="coerce")
    table["unscored"] = table["score"].isna() & (table["status"] == "ok")
    table["score"] = table["score"].fillna(0.0)
    table["failed"] = table["unscored"] | (table["status"] == "error")
    for name in MARKS:
        given = table.get(name, False)
        table[name] = pd.Series(given, index=table.index).astype("boolean").fillna(False).astype(bool)
    for name in ("length", "context_limit", "max_depth"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype("float64")
    for name in ("truncated", "format_ok"):
        table[name] = table[name].astype(object).where(table[name].notna(), name == "format_ok").astype(bool)
    named = table["task_group"].str.extract(r"^documents_(\d+)$", expand=False)
    table["documents"] = pd.to_numeric(table["documents"].where(named.isna(), named), errors="coerce").astype("float64")
    if "bucket" not in table:
        size = table["length"].where(table["length"].notna(), table["documents"])
        several = size.groupby(table["benchmark"]).transform("nunique") > 1
        table["bucket"] = size.where(several, 0.0).fillna(0.0)
    table.attrs[_PREPARED] = True
    return table


def pooled(samples: pd.DataFrame) -> pd.DataFrame:
    """Return prepared samples with all lengths of a benchmark in one cell."""
    return prepare(samples).assign(bucket=0.0)


def methods_in_order(samples: pd.DataFrame) -> list[str]:
    """Return methods in the order of their first row, reference rows last."""
    found = list(dict.fromkeys(samples["method"]))
    return [m for m in found if m not in REFERENCE] + [m for m in found if m in REFERENCE]


def without_reference(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of methods, without reference rows."""
    return samples[~samples["method"].isin(REFERENCE)]


# Values of columns that are missing in a table; the last five are columns of reports.
_DEFAULTS = defaults(SampleRow) | {
    "run": 0, "own_method": None, "max_depth": None, "documents": None, "as_published": True,
}  # fmt: skip


def _samples(path: Path) -> pd.DataFrame:
    import pandas as pd

    file = path / "samples.parquet"
    if not tables_are_current(path):
        return samples_table(read_journal(path / "journal").values())
    table = read_samples(path)
    if lacking := [name for name in (*SAMPLE_KEY, "score") if name not in table]:
        raise ConfigError(f"{file} has no column {', '.join(lacking)}")
    if unnamed := [name for name in SAMPLE_KEY if table[name].isna().any()]:
        raise ConfigError(f"{file}: rows without {', '.join(unnamed)}: expected a value in each row")
    scores = pd.to_numeric(table["score"], errors="coerce")
    if len(odd := table[(scores < -1e-9) | (scores > 1 + 1e-9)]):
        raise ConfigError(f"{file}: the score of {odd['sample_id'].iloc[0]} is {odd['score'].iloc[0]}: expected 0 to 1")
    return table


def _check_names(path: Path, samples: pd.DataFrame) -> None:
    # A report has tables and figures for each name, and compares each pair, so thousands would take hours.
    for column in ("benchmark", "method", "model"):
        if column in samples and (count := samples[column].nunique()) > _MAX_NAMES:
            raise ConfigError(f"{path} has {count:,} values of {column}: expected at most {_MAX_NAMES}")


def _calls(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read columns of calls.parquet; texts become categories, because there may be a million rows."""
    if not tables_are_current(path):
        return calls_table(read_journal(path / "journal", report=lambda line: None).values())
    if not (path / "calls.parquet").is_file():
        return calls_table([])
    table = read_calls(path, columns)
    return table.assign(**{name: defaults(CallRow)[name] for name in columns if name not in table})


def _with_settings(samples: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Add the manifest's columns that a comparison with a published figure needs.

    as_published: the data are not generated, questions have the paper's form (see QUESTION_FORMS), the answer protocol
    is that of the published RLMs, and the reasoning effort of the root, if any, is that of the paper.
    """
    config = manifest.get("config") or {}
    methods = config.get("method") or {}
    data = {name: (about or {}).get("data") or {} for name, about in (manifest.get("benchmarks") or {}).items()}
    other_data = {
        name
        for name, about in data.items()
        if about.get("source", "hub") == "generated"
        or any(about.get(key) != form for key, form in QUESTION_FORMS.get(name, {}).items())
    }
    protocols = {name: (about or {}).get("answer_protocol") for name, about in (manifest.get("methods") or {}).items()}
    other_methods = {name for name, protocol in protocols.items() if protocol not in (None, "final_tags")}
    table = samples.copy(deep=False)
    table["max_depth"] = table["method"].map({name: (about or {}).get("max_depth") for name, about in methods.items()})
    other = table["benchmark"].isin(other_data) | table["method"].isin(other_methods)
    sections = sections_of(config.get("model") or {}).values()
    efforts = [((section or {}).get("root") or {}).get("reasoning_effort") for section in sections]
    labels = manifest.get("model_labels") or []
    others = {label for label, effort in zip(labels, efforts, strict=False) if effort not in (None, "medium")}
    same_effort = ~table["model"].isin(others) if len(labels) > 1 else efforts[0] in (None, "medium")
    table["as_published"] = ~other & same_effort
    return table


def _names(samples: pd.DataFrame, runs: Sequence[Run]) -> dict[tuple[str, int], str]:
    """Return new names for methods that have samples of the same model and id in several runs."""
    twice = samples[samples.duplicated([*SAMPLE_KEY, "model"], keep=False)]
    titles = [run.name for run in runs]
    unique = [name if titles.count(name) == 1 else f"{name} #{i + 1}" for i, name in enumerate(titles)]
    clashing = set(zip(twice["method"], twice["run"], strict=True)) if len(runs) > 1 else set()
    return {(method, run): f"{method} ({unique[run]})" for method, run in clashing}


def _renamed(table: pd.DataFrame, names: Mapping[tuple[str, int], str]) -> pd.DataFrame:
    if not names:
        return table
    pairs = zip(table["method"], table["run"], strict=True)
    return table.assign(method=[names.get(pair, pair[0]) for pair in pairs])
