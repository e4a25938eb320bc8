"""Verdicts of further judges on the samples of a run, kept beside its scores in the folder `judges`."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.running.journal import Record
from benchmarks.running.run_files import make_folder, new_file, write_whole
from benchmarks.sources.parquet import read_table

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "judges"
# The columns that identify the judged answer: a sample that ran again has another start.
ANSWER = ("benchmark", "method", "model", "sample_id", "epoch", "started_at", "target_sha256")
COLUMNS = (*ANSWER, "second_judge", "second_score", "second_verdict", "second_confidence", "second_cost_usd")
_DIGEST = 8
_NUMBERS = ("started_at", "second_score", "second_confidence", "second_cost_usd")


def is_judged(record: Record) -> bool:
    """True for a sample of a method whose score is the verdict of the run's judge."""
    row = record.row
    return row.model is not None and not row.failed and row.details.get("judged_by") == "judge"


def judge_label(described: Mapping[str, Any]) -> str:
    """Return the name of a judge in tables, from LlmJudge.describe: its model and its prompt."""
    return f"{described.get('model')} ({described.get('prompt')})"


def write_verdicts(run: Path, described: Mapping[str, Any], records: Sequence[Record]) -> Path:
    """Write the verdicts in records that a further judge has scored, in place of earlier ones of the same judge.

    Raises ConfigError if the folder cannot be written.
    """
    import pandas as pd

    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()
    name = f"{re.sub(r'[^A-Za-z0-9.-]+', '-', str(described.get('model')))[:60]}-{digest[:_DIGEST]}"
    label = judge_label(described)
    rows = [
        [*(getattr(row, column) for column in ANSWER), label, row.score, row.details.get("judge_verdict"),
         row.details.get("judge_confidence"), row.judge_cost_usd]
        for row in (record.row for record in records)
    ]  # fmt: skip
    path = run / FOLDER / f"{name}.parquet"
    cost = float(sum(record.row.judge_cost_usd for record in records))
    about = {"judge": dict(described), "at": time.time(), "samples": len(rows), "cost_usd": cost}
    try:
        make_folder(path.parent, run)
        new = new_file(path)
        pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(new, index=False, compression="zstd")
        new.replace(path)
        write_whole(path.with_suffix(".json"), json.dumps(about, indent=2, default=str) + "\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def read_verdicts(run: Path) -> pd.DataFrame:
    """Read the verdicts of all further judges of a run, a row for each judge and answer; without rows if it has none.

    file: the name of a judge's file, without its ending. If judges have the same name, for example because they differ
    only in sampling, the end of the file's name is added. Raises ConfigError for a file that cannot be read.
    """
    import pandas as pd

    tables = []
    for file in sorted((run / FOLDER).glob("*.parquet")):
        try:
            table = _typed(read_table(file, lambda schema: [*COLUMNS]).to_pandas())
            tables.append(table.drop_duplicates([*ANSWER, "second_judge"], keep="last").assign(file=file.stem))
        except Exception as error:
            # The file may be untrusted, and pyarrow and pandas do not document the exceptions that they raise for it.
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ConfigError(f"{file} cannot be read: {reason}; remove it") from error
    if not tables:
        return pd.DataFrame(columns=[*COLUMNS, "file"])
    found = pd.concat(tables, ignore_index=True)
    shared = found.groupby("second_judge")["file"].transform("nunique") > 1
    found.loc[shared, "second_judge"] += " " + found["file"].str[-_DIGEST:]
    return found


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return verdicts with the types of their columns. Raises ValueError."""
    import pandas as pd

    numbers = {name: pd.to_numeric(table[name]).astype("float64") for name in _NUMBERS}
    if not numbers["second_score"].between(0, 1).all():
        raise ValueError("a second_score is not between 0 and 1")
    texts = {name: table[name].astype(object).map(str) for name in ANSWER if name not in ("epoch", "started_at")}
    labels = table["second_judge"].astype(object).map(str)
    return table.assign(**numbers, **texts, epoch=table["epoch"].astype("int64"), second_judge=labels)
