"""`rlm-eval export`: exports a run for other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.commands.parser import Parser
from benchmarks.config.errors import ConfigError
from benchmarks.export.filters import Filters
from rlm.terminal import counted

FORMS = {
    "calls": "the recorded responses as a .jsonl.gz file, for cache.mode=replay cache.path=OUT",
    "hf": "a data set folder that `datasets` loads",
    "inspect": "a folder of .eval logs for `inspect view` (extra inspect)",
    "otel": "OpenTelemetry traces, sent to an OTLP endpoint such as http://127.0.0.1:4318/v1/traces (extra otel)",
    "sft": "turns of successful samples in chat format, as .jsonl and .parquet, for supervised fine-tuning",
    "verifiers": "samples and methods as an environment that `vf-eval` of the package verifiers loads",
}
_FILTERS = {"min_score": float, "min_turns": int, "max_chars": int}


def main(argv: Sequence[str]) -> int:
    """Write the export and print its path. Raises ConfigError."""
    parser = Parser(prog="rlm-eval export", description="Export a run for other tools.")
    parser.add_argument(
        "form", choices=FORMS, metavar="FORM", help="; ".join(f"{name}: {about}" for name, about in FORMS.items())
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument(
        "out",
        metavar="OUT",
        nargs="?",
        help="file or new folder to write, or URL to send to; for sft RUN/sft if left out",
    )
    defaults = Filters()
    about = {
        "min_score": f"sft: lowest score of a sample, from 0 to 1 (default {defaults.min_score})",
        "min_turns": f"sft: lowest number of turns of a sample's root (default {defaults.min_turns})",
        "max_chars": f"sft: most characters in a turn's prompt and completion (default {defaults.max_chars})",
    }
    for name, kind in _FILTERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="X", help=about[name])
    words = parser.parse_args(argv)
    given = {name: value for name in _FILTERS if (value := getattr(words, name)) is not None}
    if words.form == "sft":
        return _sft(words.run, Path(words.out or words.run / "sft"), Filters(**given))
    if given:
        raise ConfigError(f"--{next(iter(given)).replace('_', '-')} was given for {words.form}: it applies only to sft")
    if words.out is None:
        raise ConfigError(f"OUT is missing: expected a file, folder or URL after the run folder for {words.form}")
    if words.form == "otel":
        from benchmarks.export.otel import export_otel

        print(f"sent: {words.out} ({export_otel(words.run, words.out)} traces)")
        return 0
    out = Path(words.out)
    if words.form == "calls":
        print(f"wrote: {out} ({counted(export_calls(words.run, out), 'response')})")
        return 0
    if words.form == "hf":
        from benchmarks.export.hub import export_hub as export
    elif words.form == "verifiers":
        from benchmarks.export.environment import export_environment as export
    else:
        from benchmarks.export.inspect_logs import export_inspect as export
    for file in export(words.run, out):
        print(f"wrote: {file}")
    return 0


def _sft(run: Path, out: Path, filters: Filters) -> int:
    from benchmarks.export.sft import FILES, export_sft, written

    if not 0 <= filters.min_score <= 1:
        raise ConfigError(f"--min-score is {filters.min_score}: expected a number from 0 to 1")
    if low := next((name for name in ("min_turns", "max_chars") if getattr(filters, name) < 1), None):
        raise ConfigError(f"--{low.replace('_', '-')} is {getattr(filters, low)}: expected at least 1")
    counts = export_sft(run, out, filters)
    print(f"samples: {_counted(counts['samples'])}")
    for name in FILES:
        print(f"{name}: {_counted(counts[name]['turns'])}; repaired: {_counted(counts[name]['repairs'])}")
    for name in written(counts):
        print(f"wrote: {out / name}.jsonl, {out / name}.parquet")
    return 0


def _counted(counts: Mapping[str, int]) -> str:
    kept = [f"{counts['kept']} kept"] if "kept" in counts else []
    return ", ".join([*kept, *(f"{n} {reason}" for reason, n in counts.items() if reason != "kept")]) or "none"


def export_calls(run: Path, out: Path) -> int:
    """Write the recorded responses of a run and return their number. Raises ConfigError."""
    from benchmarks.running.manifest import read_manifest
    from rlm.models.cache.model import CallStore

    read_manifest(run)
    stored = run / "calls.sqlite"
    if not stored.is_file():
        raise ConfigError(f"{run} has no recorded responses (calls.sqlite); was it run with cache.mode=off?")
    if not out.name.endswith(".jsonl.gz"):
        raise ConfigError(f"OUT is {out}: expected a file name that ends in .jsonl.gz")
    store = CallStore(stored)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return store.export(out)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        store.close()
