"""`rlm-eval export`: exports a run for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands.parser import Parser
from benchmarks.config.errors import ConfigError

FORMS = {
    "calls": "the recorded responses as a .jsonl.gz file, for cache.mode=replay cache.path=OUT",
    "hf": "a data set folder that `datasets` loads",
    "inspect": "a folder of .eval logs for `inspect view` (extra inspect)",
    "otel": "OpenTelemetry traces, sent to an OTLP endpoint such as http://127.0.0.1:4318/v1/traces (extra otel)",
}


def main(argv: Sequence[str]) -> int:
    """Write the export and print its path. Raises ConfigError."""
    parser = Parser(prog="rlm-eval export", description="Export a run for other tools.")
    parser.add_argument(
        "form", choices=FORMS, metavar="FORM", help="; ".join(f"{name}: {about}" for name, about in FORMS.items())
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("out", metavar="OUT", help="file or new folder to write, or URL to send to")
    words = parser.parse_args(argv)
    if words.form == "otel":
        from benchmarks.export.otel import export_otel

        print(f"sent: {words.out} ({export_otel(words.run, words.out)} traces)")
        return 0
    out = Path(words.out)
    if words.form == "calls":
        print(f"wrote: {out} ({export_calls(words.run, out)} responses)")
        return 0
    if words.form == "hf":
        from benchmarks.export.hub import export_hub as export
    else:
        from benchmarks.export.inspect_logs import export_inspect as export
    for file in export(words.run, out):
        print(f"wrote: {file}")
    return 0


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
