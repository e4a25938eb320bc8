"""The rows of samples.parquet and calls.parquet: each column is declared here once.

Parquet types, defaults for older runs, the columns that `rlm-eval compare` reads, docs/columns.md and the validation of
journal lines are derived from the two classes.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, Self

# The types of values that a score's details may hold.
Detail = float | int | str | bool | None

_PANDAS_TYPES = {
    (str, False): "str", (str, True): "str", (int, False): "int64", (int, True): "Int64", (float, False): "float64",
    (float, True): "float64", (bool, False): "bool", (bool, True): "boolean",
}  # fmt: skip
_NOUNS = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
# The tolerance for rounding errors in a score.
_ROUNDING = 1e-9
_INT64 = range(-(2**63), 2**63)


class RowError(ValueError):
    """A row has a missing column or a value of a wrong type. The message is one line that names the column."""


class Key(NamedTuple):
    """The identity of a sample's row within a run. model: None for reference rows."""

    benchmark: str
    method: str
    sample_id: str
    epoch: int
    model: str | None = None

    def of_calls(self) -> dict[str, Any]:
        """Return the columns of the sample's calls that name the sample."""
        *own, model = self
        return dict(zip(OWNER, [*own, model], strict=True))


def arms_of(methods: Iterable[str], reference: Container[str], models: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return method and model of each arm in the order of a plan. Reference rows have no model and come once."""
    names = list(methods)
    return [
        (method, None if method in reference else model)
        for model in models
        for method in names
        if method not in reference or model == models[0]
    ]


# The columns of a call that name its sample, in the order of a Key.
OWNER = ("benchmark", "method", "sample_id", "epoch", "sample_model")


def column(description: str, default: Any = dataclasses.MISSING, *, compared: bool = False, time: bool = False) -> Any:
    """Declare a column: its sentence in the docs, and its value in rows of older runs without it.

    compared: `rlm-eval compare` reads the column. time: it differs between two replays of the same recorded responses.
    """
    return dataclasses.field(default=default, metadata={"description": description, "compared": compared, "time": time})


class _Row:
    """Reads and writes a row as a mapping of plain JSON values."""

    __slots__ = ()

    @classmethod
    def read(cls, values: Mapping[str, Any], **more: Any) -> Self:
        """Read a row from a mapping. Missing columns get their defaults. Raises RowError."""
        kind: Any = cls
        known = {}
        for name, declared in columns(kind).items():
            if name in values:
                known[name] = declared.checked(values[name])
            elif declared.default is dataclasses.MISSING and name not in more:
                raise RowError(f"column {name} is missing")
        return cls(**known | more)


@dataclasses.dataclass(slots=True, kw_only=True)
class SampleRow(_Row):
    """One sample of one method: a row of samples.parquet."""

    benchmark: str = column("Name of the benchmark.", compared=True)
    method: str = column("Name of the method or reference row.", compared=True)
    model: str | None = column(
        "Root model, with the name of its choice if an earlier model has that root; null for reference rows.",
        None,
    )
    sub_model: str | None = column("Model of sub-calls; null for reference rows.", None)
    sample_id: str = column("Id of the sample within its benchmark.", compared=True)
    epoch: int = column("Repetition of the sample, counted from 0.", 0, compared=True)
    cluster: str | None = column(
        "Samples with the same value share a context, so their errors are not independent.", None, compared=True
    )
    task_group: str = column("Kind of task within the benchmark.", "")
    complexity: str = column("Growth of the work with the length of the context, as declared by the benchmark.", "")
    input_tokens: int = column("Tokens of the context and the query, counted here.", 0, compared=True)
    length: int | None = column("Declared length in tokens; null if the data set declares none.", None)
    metric: str = column("Name of the official score.", "")
    score: float = column("Official score, 0 to 1; 0 for a sample that failed.", compared=True)
    lenient_score: float | None = column("Diagnostic score that ignores errors of format.", None)
    format_ok: bool = column("The answer has the form that the prompt asks for.", True)
    prediction: str | None = column("Complete answer of the method; null if there is none.", None, compared=True)
    extracted: str | None = column("Part of the answer that was scored.", None)
    target_sha256: str = column("SHA-256 of the target as canonical JSON.", "", compared=True)
    status: str = column("`ok`, `limit`, `context_overflow` or `error`.", "ok", compared=True)
    stop_reason: str = column("Reason why the completion ended: `answer`, a limit's key, `error` and others.", "")
    error: str | None = column("Error of a failed sample, one line.", None)
    truncated: bool = column("The answer, or the input of the call that gave it, was cut.", False)
    cost_usd: float = column("Dollars of the method's calls, with the discount for cached input.", 0.0, compared=True)
    cost_uncached_usd: float = column("Dollars as if no input had been cached.", 0.0)
    cost_state: str = column("`known`, `unknown` (a call had no price) or `free`.", "free", compared=True)
    prompt_tokens: int = column("Prompt tokens of all calls.", 0)
    cached_tokens: int = column("Prompt tokens that a provider's cache served.", 0)
    completion_tokens: int = column("Completion tokens of all calls.", 0)
    reasoning_tokens: int = column("Completion tokens spent on hidden reasoning.", 0)
    root_calls: int = column("Calls of the root model at depth 0.", 0)
    sub_calls: int = column("All other calls of the method.", 0)
    max_depth_reached: int = column("Greatest depth of a call.", 0)
    turns: int = column("Turns of all loops.", 0)
    cells: int = column("Code cells that ran.", 0)
    syntax_errors: int = column("Cells that were not valid Python.", 0)
    wall_s: float = column("Seconds from start to answer.", 0.0, time=True)
    model_s: float = column("Seconds of model calls, added up.", 0.0, time=True)
    started_at: float = column("Start, in seconds since 1970.", 0.0, time=True)
    context_limit: int | None = column("Context window of the root model in tokens; null if unknown.", None)
    max_output_tokens: int | None = column("Output cap of the root model in tokens.", None, compared=True)
    scorer: str | None = column("Id and version of the scoring code.", None, compared=True)
    protected: bool = column("Texts of the sample are stored in sealed form.", False)
    trajectory: str | None = column("Path of the trajectory in the run folder; null if there is none.", None)
    decomposition: str | None = column("Decomposition of the context by an RLM's root; null for other methods.", None)
    answer_from: str | None = column("Source of an RLM's answer, such as a variable or a literal.", None)
    contradicts_variable: bool | None = column(
        "An RLM answered with a literal that differs from its answer variable.", None
    )
    judge_cost_usd: float = column("Dollars of the judge's calls.", 0.0)
    target: str | None = column(
        "Target as canonical JSON, sealed for protected benchmarks. Written with the tables, never to the journal.",
        None,
    )
    untagged: bool | None = column("The answer was a last reply without answer tags.", None)
    answer_cut: bool | None = column("The answer was longer than the suite allows; only its start was scored.", None)
    prompt_cut: bool | None = column("The endpoint read less of a prompt than was sent.", None)
    compactions: int | None = column(
        "Number of times that an RLM's history was replaced by a summary; null for methods that keep it.", None
    )
    compaction_cost_usd: float | None = column("Dollars of these summaries, which cost_usd includes.", None)
    programs: int | None = column("Programs of which rlm_selfconsistency chose one; null for other methods.", None)
    agreement: float | None = column("Share of the programs that gave the chosen answer; 0 without an answer.", None)
    # Further columns that the scorer reports besides the score, by name.
    details: dict[str, Detail] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return Key(self.benchmark, self.method, self.sample_id, self.epoch, self.model)

    @property
    def failed(self) -> bool:
        return self.status == "error"

    @classmethod
    def read(cls, values: Mapping[str, Any], **more: Any) -> Self:
        """Read a row from a mapping. Names that are not columns are details of the score. Raises RowError."""
        row = super(SampleRow, cls).read(values, **more)
        if not -_ROUNDING <= row.score <= 1 + _ROUNDING:
            raise RowError(f"column score is {row.score}: expected a number from 0 to 1")
        known = columns(SampleRow)
        row.details = {name: _detail_value(name, value) for name, value in values.items() if name not in known}
        return row

    def values(self) -> dict[str, Any]:
        """Return the row as a flat mapping: columns, then details."""
        return {name: getattr(self, name) for name in SAMPLE_COLUMNS} | self.details


@dataclasses.dataclass(slots=True, kw_only=True)
class CallRow(_Row):
    """One model call: a row of calls.parquet."""

    call_id: int = column("Number of the call within its sample.")
    parent_id: int | None = column("Call whose reply led to this one; null for the root's own calls.", None)
    benchmark: str = column("Name of the benchmark.", "")
    method: str = column("Name of the method.", "")
    sample_id: str = column("Id of the sample.", "")
    epoch: int = column("Repetition of the sample, counted from 0.", 0)
    depth: int = column("0 for the root's own calls, 1 for calls that these led to, and so on.", 0)
    role: str = column("`root`, `sub`, `compactor` or `judge`.", "root")
    model: str = column("Name of the requested model; in runs before 0.2, the name that the endpoint returned.", "")
    prompt_tokens: int = column("Prompt tokens, including retried attempts.", 0)
    cached_tokens: int = column("Prompt tokens that a provider's cache served.", 0)
    completion_tokens: int = column("Completion tokens, including hidden reasoning.", 0)
    reasoning_tokens: int = column("Completion tokens spent on hidden reasoning.", 0)
    cost_usd: float = column("Dollars, with the discount for cached input.", 0.0)
    cost_uncached_usd: float = column("Dollars as if no input had been cached.", 0.0)
    cost_state: str = column("`known`, `unknown` or `free`.", "free")
    usage_clamped: bool = column("The provider reported an impossible number of tokens.", False)
    finish_reason: str = column(
        "Reason why the reply ended, as reported by the endpoint; `error` for a failed call.", ""
    )
    latency_s: float = column("Seconds from request to reply, including retries.", 0.0, time=True)
    retries: int = column("Number of repeated attempts.", 0)
    retried: str = column("Kinds of the failed attempts, separated by commas.", "")
    cache_hit: bool = column("The reply came from recorded responses.", False)
    prompt_sha256: str = column("SHA-256 of the messages.", "")
    prompt_file_sha256: str | None = column("SHA-256 of the method's prompt file.", None)
    error: str | None = column("Error of a failed call.", None)
    started_at: float = column("Start, in seconds since 1970.", 0.0, time=True)
    provider: str | None = column("Provider that served the call, as reported by a gateway.", None)
    system_fingerprint: str | None = column("Fingerprint of the serving system, as reported by the endpoint.", None)
    returned_model: str | None = column("Model name that the endpoint returned.", None)
    prompt_cut: bool | None = column("The endpoint reported far fewer prompt tokens than were sent.", None)
    output_cap: int | None = column("Cap on output tokens that replaced the configured one for lack of room.", None)
    sample_model: str | None = column("Model in the row of the call's sample; null in older runs.", None)

    def values(self) -> dict[str, Any]:
        """Return the row as a flat mapping."""
        return {name: getattr(self, name) for name in CALL_COLUMNS}


@dataclasses.dataclass(frozen=True)
class Column:
    """A declared column, with the types of JSON values that it accepts."""

    name: str
    type: type
    optional: bool
    default: Any
    description: str
    compared: bool
    time: bool

    @property
    def pandas_type(self) -> str:
        return _PANDAS_TYPES[self.type, self.optional]

    @property
    def expectation(self) -> str:
        return _NOUNS[self.type] + (" or null" if self.optional else "")

    def checked(self, value: Any) -> Any:
        """Return the value if the column accepts it. Raises RowError."""
        kind = type(value)
        accepted = kind is self.type or (value is None and self.optional) or (kind is int and self.type is float)
        if accepted and (kind is not int or value in _INT64) and (kind is not float or math.isfinite(value)):
            return value
        raise RowError(f"column {self.name} is {_shown(value)}: expected {self.expectation}")


@cache
def columns(row: Any) -> dict[str, Column]:
    """Return the columns of a row class, in the order in which they are written."""
    hints = typing.get_type_hints(row)
    return {field.name: _column(field, hints[field.name]) for field in dataclasses.fields(row) if field.metadata}


def _column(field: dataclasses.Field[Any], hint: Any) -> Column:
    union = isinstance(hint, types.UnionType)
    kind = next(one for one in typing.get_args(hint) if one is not types.NoneType) if union else hint
    return Column(field.name, kind, union, field.default, **field.metadata)


SAMPLE_COLUMNS: dict[str, str] = {name: one.pandas_type for name, one in columns(SampleRow).items()}
CALL_COLUMNS: dict[str, str] = {name: one.pandas_type for name, one in columns(CallRow).items()}
# The columns that differ between two replays of the same recorded responses.
TIME_COLUMNS = tuple(name for name, one in columns(SampleRow).items() if one.time)
CALL_TIME_COLUMNS = tuple(name for name, one in columns(CallRow).items() if one.time)
COMPARED_COLUMNS = tuple(name for name, one in columns(SampleRow).items() if one.compared)
# The names of columns that reports add to a table of samples.
REPORT_COLUMNS = ("unscored", "failed", "bucket", "run", "own_method", "max_depth", "documents", "as_published")


def defaults(row: Any) -> dict[str, Any]:
    """Return the value of each column in rows of older runs without it, except for columns that every row must have."""
    return {name: one.default for name, one in columns(row).items() if one.default is not dataclasses.MISSING}


def checked_details(details: object) -> dict[str, Detail]:
    """Return the details of a score as plain values. Raises RowError for a name or value that no column can have."""
    if not isinstance(details, Mapping):
        raise RowError(f"details are {_shown(details)}: expected a mapping of names to values")
    for name in details:
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            raise RowError(f"detail {_shown(name)}: expected an ASCII identifier as the name of a detail")
        if name in SAMPLE_COLUMNS or name in REPORT_COLUMNS:
            raise RowError(f"detail {name!r} has the name of a column: rename the detail")
    return {name: _detail_value(name, value) for name, value in details.items()}


def _detail_value(name: str, value: Any) -> Detail:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()  # a scalar of NumPy
    if type(value) is int and value not in _INT64:
        raise RowError(f"detail {name!r} is {_shown(value)}: expected an integer of at most 64 bits")
    if value is not None and type(value) not in (float, int, str, bool):
        raise RowError(f"detail {name!r} is {_shown(value)}: expected a number, a string, true, false or null")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except Exception:
        # The value, and therefore its __repr__, may come from a plug-in.
        shown = f"a {type(value).__name__}"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
