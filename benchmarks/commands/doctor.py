"""`rlm-eval doctor`: checks this machine. Names of keys are shown, never their values."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands.parser import Parser

OPTIONAL = {
    "xllamacpp": "the embedded model's server (extra local)",
    "ray": "executor=ray (extra ray)",
    "submitit": "Slurm (extra slurm)",
    "inspect_ai": "export to Inspect (extra inspect)",
    "opentelemetry": "export as OpenTelemetry traces (extra otel)",
    "httptools": "faster requests to `rlm-eval serve` (extra fast)",
}


def main(argv: Sequence[str]) -> int:
    """Print the report; the exit code is 1 if model code cannot be confined."""
    Parser(prog="rlm-eval doctor", description="Check this machine: confinement, optional packages, keys.").parse_args(
        argv
    )
    from rlm.models.embedded.weights import known_weights
    from rlm.repl import check_confinement, layers
    from rlm.repl.protocol import ReplError

    print(f"machine: {platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores, "
          f"Python {platform.python_version()}, user id {os.getuid()}")  # fmt: skip
    print("\nconfinement of model code:")
    for name, available, detail in layers():
        print(f"  {'yes' if available else 'no ':<4} {name}: {detail}")
    try:
        check_confinement()
        confined = True
        print("  runs are confined")
    except ReplError as error:
        confined = False
        print(f"  {_refusal(error)}")
    print("\nother packages of the same names:")
    for line in neighbours():
        print(f"  {line}")
    print("\noptional parts:")
    for module, purpose in OPTIONAL.items():
        print(f"  {'yes' if importlib.util.find_spec(module) else 'no ':<4} {module}: {purpose}")
    for weights in known_weights().values():
        here = weights.state in ("present", "unchecked")
        print(f"  {'yes' if here else 'no ':<4} {weights.name}: weights of the embedded model, {weights.state}")
    print("\nkeys and endpoints (set or not, never shown):")
    for variable in variables():
        print(f"  {'set' if os.environ.get(variable) else '-':<4} {variable}")
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    print(f"\nfree disk in this folder: {free_gb:.0f} GB")
    return 0 if confined else 1


def neighbours() -> list[str]:
    """Return lines on packages that have replaced rlm-eval's, or that `import` finds first."""
    import rlm_eval

    lines = [f"rlm is not rlm-eval's module: {rlm_eval.REPLACED}"] if rlm_eval.replaced() else []
    lines += [
        f"`import {name}` finds {place} first; rlm-eval uses its own package"
        for name, place in rlm_eval.shadowing().items()
    ]
    return lines or ["none"]


def variables() -> list[str]:
    """Return the names of environment variables from which models and judges take keys and addresses."""
    from benchmarks.config.plugins import conf_files
    from rlm.models.build import PROVIDERS

    named = {name for one in PROVIDERS.values() for name in (one.api_key_env, one.base_url_env) if name}
    for path in (*conf_files("model").values(), *conf_files("judge").values()):
        named.update(re.findall(r"\b[A-Z]\w*_(?:API_KEY|BASE_URL|OPENAI_ENDPOINT)\b", path.read_text(encoding="utf-8")))
    return sorted(named | {"HF_TOKEN"})


def _refusal(error: Exception) -> str:
    from rlm.repl import check_platform
    from rlm.repl.protocol import ReplError

    try:
        check_platform()
    except ReplError as no_session:
        return f"methods that run code (rlm, codeact, map_reduce and their variants) refuse to start: {no_session}"
    return f"methods that run code refuse to start unless repl=unsafe: {error}"
