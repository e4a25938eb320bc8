"""The tables of a run folder: samples.parquet and calls.parquet, made from the journal or read from the folder."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.running.journal import Record, read_journal, warn
from benchmarks.running.manifest import read_manifest
from benchmarks.running.rows import CALL_COLUMNS, SAMPLE_COLUMNS, CallRow, RowError, SampleRow, arms_of, columns
from benchmarks.running.run_files import new_file
from benchmarks.sources.parquet import read_table
from benchmarks.sources.protect import seal, unseal
from rlm.terminal import counted

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ROWS_AT_ONCE = 50_000


def samples_table(records: Iterable[Record]) -> pd.DataFrame:
    """Return samples.parquet as a table; details of scores follow the declared columns."""
    return _table([record.row.values() for record in records], SAMPLE_COLUMNS)


def calls_table(records: Iterable[Record]) -> pd.DataFrame:
    """Return calls.parquet as a table."""
    import pandas as pd

    tables: list[pd.DataFrame] = []
    rows: list[dict[str, Any]] = []
    for record in records:
        rows += [call.values() for call in record.calls]
        # Row objects take ten times the memory of a table, and a run can have a million rows.
        if len(rows) > _ROWS_AT_ONCE:
            tables, rows = [*tables, _table(rows, CALL_COLUMNS)], []
    if rows or not tables:
        tables.append(_table(rows, CALL_COLUMNS))
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


def write_tables(path: Path, records: Sequence[Record]) -> None:
    """Write samples.parquet and calls.parquet, each of them atomically."""
    for name, table in (("samples", samples_table(records)), ("calls", calls_table(records))):
        new = new_file(path / f"{name}.parquet")
        table.to_parquet(new, index=False, compression="zstd", write_page_checksum=True)
        new.replace(path / f"{name}.parquet")


def read_samples(path: Path) -> pd.DataFrame:
    """Read samples.parquet of a run folder, without further columns that cannot be details of a score.

    Raises ConfigError for a file that cannot be read, and for a declared column of another type.
    """
    return _read(path / "samples.parquet", SampleRow)


def read_calls(path: Path, names: Collection[str]) -> pd.DataFrame:
    """Read those of the columns that calls.parquet of a run folder has; texts are categories. Raises ConfigError."""
    return _read(path / "calls.parquet", CallRow, names)


def _read(file: Path, row: type, names: Collection[str] | None = None) -> pd.DataFrame:
    def choose(schema: pa.Schema) -> list[str]:
        return [field.name for field in schema if (names is None or field.name in names) and _accepts(row, field)]

    try:
        table = read_table(file, choose)
        _check_integers(table, row)
        texts = [field.name for field in table.schema if str(field.type) in ("string", "large_string")]
        return table.to_pandas(categories=texts if names is not None else ())
    except Exception as error:
        # The file may be untrusted, and pyarrow and pandas do not document the exceptions that they raise for it.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(f"{file} cannot be read: {reason}") from error


def _check_integers(table: pa.Table, row: type) -> None:
    """Raise RowError for a column of integers with an infinite value, or with a null that the column does not allow."""
    import pyarrow.compute as pc

    for name, declared in columns(row).items():
        if declared.type is int and name in table.column_names:
            values = table[name].cast("float64", safe=False)
            lacking = 0 if declared.optional else pc.sum(pc.is_null(values, nan_is_null=True)).as_py() or 0
            infinite = pc.sum(pc.is_inf(values)).as_py() or 0
            if lacking + infinite:
                rows = counted(lacking + infinite, "row")
                raise RowError(f"column {name} has no finite value in {rows}: expected {declared.expectation}")


def _accepts(row: type, field: pa.Field) -> bool:
    """False for a column that is not declared and cannot be a detail. Raises RowError for a declared one."""
    import pyarrow.types as types

    # In older versions, columns of integers with nulls became numbers.
    numbers = types.is_integer, types.is_floating
    accepted = {str: (types.is_string, types.is_large_string), int: numbers, float: numbers, bool: (types.is_boolean,)}
    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    declared = columns(row).get(field.name)
    kinds = [one for some in accepted.values() for one in some] if declared is None else accepted[declared.type]
    fits = types.is_null(kind) or any(is_kind(kind) for is_kind in kinds)
    if fits or declared is None:
        return fits
    raise RowError(f"column {field.name} is of type {str(kind)[:40]}: expected {declared.expectation}")


def refresh_tables(path: Path, targets: Mapping[str, str] | None = None) -> None:
    """Write the tables of a killed run from its journal, in the order of the plan.

    targets: further targets by their SHA-256, in addition to those in the existing tables; the journal has none. Raises
    ConfigError for a folder that is not a run or has no finished sample.
    """
    manifest = read_manifest(path)
    records = read_journal(path / "journal")
    if not records:
        raise ConfigError(f"{path} has no finished sample")
    described = {
        name: (about or {}).get("sample_ids") or () for name, about in (manifest.get("benchmarks") or {}).items()
    }
    order = {(name, sample_id): place for name, ids in described.items() for place, sample_id in enumerate(ids)}
    benchmarks, methods = list(described), list(manifest.get("methods") or {})
    # Runs before 0.2 have one model.
    labels = manifest.get("model_labels") or list(dict.fromkeys(key.model for key in records if key.model)) or [""]
    arms = arms_of(methods, {key.method for key in records if key.model is None}, labels)
    planned = [key for key in records if (key[0], key[2]) in order and (key.method, key.model) in arms]
    if left_out := len(records) - len(planned):
        warn(f"{path}: {left_out} samples of the journal are not in the plan of run.json and are left out")
    planned.sort(
        key=lambda key: (
            benchmarks.index(key[0]), key.epoch, order[key[0], key[2]], arms.index((key.method, key.model))
        )
    )  # fmt: skip
    ordered = [records[key] for key in planned]
    add_targets(ordered, written_targets(path) | dict(targets or {}))
    try:
        write_tables(path, ordered)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def written_targets(path: Path) -> dict[str, str]:
    """Read unsealed targets by their SHA-256 from the samples.parquet of a run folder; empty if there are none."""
    import pyarrow as pa

    wanted = {"target_sha256", "target"}
    try:
        table = read_table(path / "samples.parquet", lambda schema: wanted & set(schema.names)).to_pydict()
    except (OSError, ValueError, pa.ArrowException):
        return {}
    if len(table) < 2:
        return {}
    pairs = zip(table["target_sha256"], table["target"], strict=True)
    targets: dict[str, str] = {}
    for digest, target in pairs:
        # A target that cannot be read is built again.
        with contextlib.suppress(ValueError):
            targets |= {digest: unseal(target)} if digest and target is not None else {}
    return targets


def add_targets(records: Iterable[Record], targets: Mapping[str, str]) -> None:
    """Fill the column `target`, which is missing in the journal, from unsealed targets by their SHA-256."""
    for record in records:
        row = record.row
        target = targets.get(row.target_sha256)
        if row.target is None and target is not None:
            row.target = seal(target) if row.protected else target


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    extra = sorted({key for row in rows for key in row} - columns.keys())
    try:
        table = pd.DataFrame(list(rows), columns=[*columns, *extra])
    except UnicodeEncodeError:
        # Models sometimes write half a surrogate pair, which a table cannot hold; the journal keeps it.
        valid = [{key: _encodable(value) for key, value in row.items()} for row in rows]
        table = pd.DataFrame(valid, columns=[*columns, *extra])
    for name in extra:
        if to := _common_type(table[name]):
            table[name] = [None if value is None or value != value else to(value) for value in table[name]]
    return table.astype(dict(columns))


def _common_type(values: Iterable[Any]) -> type | None:
    """Return the type that a column of score details needs, None if it has one already.

    A scorer may report a number for one sample, and a text or true for another.
    """
    types = {type(value) for value in values if value is not None and value == value}
    if len(types) < 2:
        return None
    return str if str in types else float


def _encodable(value: Any) -> Any:
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
