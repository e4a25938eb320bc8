"""The schema of the configuration: every key outside the chosen classes, with its type and its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, MinLen
from pydantic import BeforeValidator, Field

from benchmarks.config.errors import ConfigError
from benchmarks.config.identity import config_hash, run_name
from benchmarks.config.methods import check_method
from benchmarks.config.models import JudgeSettings, ModelSection, read_judge, read_model_section
from benchmarks.config.several import place, sections_of
from benchmarks.config.targets import Target, targets_of
from rlm.limits import Limits
from rlm.models.prices import PriceSettings
from rlm.repl.protocol import ReplSettings
from rlm.validation import SettingError, make, setting_types, shown

# A plan with more epochs would fill the memory.
MOST_EPOCHS = 1_000_000

PathText = Annotated[str, Field(pattern=r"\S", description="a path")]


def _as_text(value: object) -> object:
    # YAML reads a name such as 2024 as a number.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Name = Annotated[
    str,
    Field(pattern=r"^[\w.+=,-]{1,200}$", description="letters, digits and . _ - + = , only"),
    BeforeValidator(_as_text),
]


@dataclass(frozen=True)
class Concurrency:
    samples: Annotated[int, Ge(1)] = 8


@dataclass(frozen=True)
class BudgetSettings:
    """The limits of all samples of a run together; None is no limit."""

    max_cost_usd: Annotated[float, Ge(0)] | None = None
    max_tokens: Annotated[int, Ge(0)] | None = None
    unpriced: Literal["refuse", "allow"] = "refuse"


@dataclass(frozen=True)
class CacheSettings:
    mode: Literal["off", "read_write", "replay"] = "read_write"
    path: PathText | None = None
    recording: PathText | None = None


@dataclass(frozen=True)
class ReportSettings:
    baseline: str | None = None


@dataclass(frozen=True)
class ServerSettings:
    host: Annotated[str, MinLen(1)] = "127.0.0.1"
    port: Annotated[int, Interval(ge=0, le=65535)] = 8321
    api_key_env: Annotated[str, MinLen(1)] | None = None
    max_requests: Annotated[int, Ge(1)] = 64
    max_body_bytes: Annotated[int, Ge(1)] = 268_435_456
    body_timeout_s: Annotated[float, Gt(0)] = 60


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The validated configuration of a run. conf/config.yaml describes each key.

    plain: the configuration as plain data, for the manifest and the hash. models: the sections by the name with which
    they are chosen, '' for a single one. judge: None for judge=none.
    """

    plain: Mapping[str, Any] = field(repr=False, compare=False)
    benchmark: Mapping[str, Target]
    method: Mapping[str, Target]
    models: Mapping[str, ModelSection]
    judge: JudgeSettings | None
    executor: Target
    repl: ReplSettings
    prices: Mapping[str, PriceSettings] | None = None
    name: Name | None = None
    run_dir: PathText | None = None
    resume: bool = True
    retry_errors: bool = True
    save_contexts: bool = True
    limit: Annotated[int, Ge(1)] | None = None
    epochs: Annotated[int, Interval(ge=1, le=MOST_EPOCHS)] = 1
    seed: Annotated[int, Ge(0)] = 0
    fail_on_error: Annotated[float, Ge(0)] | None = None
    stop_grace_s: Annotated[float, Ge(0)] | None = 60
    concurrency: Concurrency = Concurrency()
    limits: Limits = field(default_factory=Limits)
    budget: BudgetSettings = BudgetSettings()
    cache: CacheSettings = CacheSettings()
    report: ReportSettings = ReportSettings()
    server: ServerSettings = ServerSettings()

    @property
    def model(self) -> ModelSection:
        """The section of the only model. Raises ConfigError if there are several."""
        if len(self.models) > 1:
            names = list(self.models)
            raise ConfigError(f"model is [{', '.join(names)}]: expected one model, as in model={names[0]}")
        (section,) = self.models.values()
        return section

    @property
    def model_sections(self) -> list[ModelSection]:
        """The sections of the models that a run calls, and `judge` if there is one."""
        return [*self.models.values(), *([self.judge.models] if self.judge else [])]

    @property
    def hash(self) -> str:
        """SHA-256 of the part of the configuration that determines the results."""
        return config_hash(self.plain)

    @property
    def run_name(self) -> str:
        """`name`, or a name made from benchmarks, methods, model and hash, so that the same command finds its run."""
        return run_name(self.plain)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.run_dir) if self.run_dir else Path("results") / "runs" / self.run_name


# Sections that other functions read.
_READ_APART = ("plain", "benchmark", "method", "model", "judge", "executor", "repl")


def read_config(plain: Mapping[str, Any]) -> RunConfig:
    """Read and validate a complete configuration from plain data. Raises ConfigError."""
    _refuse_missing(RunConfig, plain)
    config = _read(plain)
    for target in config.benchmark.values():
        target.check()
    for target in config.method.values():
        check_method(target)
    return config


def read_recorded(plain: Mapping[str, Any]) -> RunConfig:
    """Read the configuration in a manifest. If an older version wrote it, missing keys get their defaults.

    Its classes are imported only when objects are built. Raises ConfigError.
    """
    known = {"model", *(one.name for one in fields(RunConfig))}
    settings = {key: value for key, value in plain.items() if key in known}
    limits = dict(settings.get("limits") or {})
    if limits.get("max_consecutive_errors") == 0:
        # In version 0.1, 0 was no limit here.
        limits["max_consecutive_errors"] = None
    return _read({"judge": {"kind": "none"}, "repl": {}, **settings, "limits": limits}, recorded=plain)


def _read(plain: Mapping[str, Any], recorded: Mapping[str, Any] | None = None) -> RunConfig:
    settings = {key: value for key, value in plain.items() if key not in _READ_APART}
    cache = plain.get("cache")
    replay = isinstance(cache, Mapping) and cache.get("mode") == "replay"
    try:
        limits = make(Limits, plain["limits"], "limits")
        config: RunConfig = make(
            RunConfig,
            settings,
            plain=plain if recorded is None else recorded,
            benchmark=targets_of(plain.get("benchmark"), "benchmark"),
            method=targets_of(plain.get("method"), "method"),
            models={
                name: read_model_section(section, place(name), replay=replay)
                for name, section in sections_of(plain.get("model")).items()
            },
            judge=read_judge(plain.get("judge"), replay=replay),
            executor=Target.of(plain.get("executor"), "executor"),
            repl=make(ReplSettings, plain["repl"], "repl", max_output_chars=limits.max_output_chars),
        )
    except ConfigError:
        raise
    except SettingError as error:
        raise ConfigError(str(error)) from error
    return config


def _refuse_missing(section: type, settings: object, where: str = "") -> None:
    """Raise ConfigError for a deleted key, because only conf/ states its default."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{where} is {shown(settings)}: expected a section of keys and values")
    for name, kind in setting_types(section).items():
        key = f"{where}.{name}" if where else name
        if key in ("plain", "benchmark", "method", "models", "repl.max_output_chars"):
            continue
        if name not in settings:
            raise ConfigError(f"{key} is missing: set it, to null for instance, rather than delete it")
        if isinstance(kind, type) and is_dataclass(kind) and kind not in (Target, ModelSection):
            _refuse_missing(kind, settings[name], key)
