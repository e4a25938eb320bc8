"""`rlm-eval data`: prints the samples that a run would use, one JSON row each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from benchmarks.commands.parser import Parser
from benchmarks.config.compose import compose
from benchmarks.sources.protect import HIDDEN


def main(argv: Sequence[str]) -> int:
    """Print a row per sample, with --targets including the target. Raises ConfigError."""
    parser = Parser(
        prog="rlm-eval data",
        description="Print the samples that a run would use, one JSON row each. context_chars and context_sha256 are "
        "those of the context alone, context_tokens of context and query together, as input_tokens of a run.",
    )
    parser.add_argument("benchmark", metavar="BENCHMARK", help="name of a benchmark, see `rlm-eval list`")
    parser.add_argument("--targets", action="store_true", help="also show the target of each sample")
    parser.add_argument(
        "--reveal", action="store_true", help="show questions and targets of a protected benchmark in plain text"
    )
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="KEY=VALUE", help="configuration, as for `rlm-eval run`"
    )
    words = parser.parse_intermixed_args(argv)
    config = compose([f"benchmark=[{words.benchmark}]", "method=[base]", *words.overrides])

    from benchmarks.running.samples import load_benchmarks, prompt_tokens
    from benchmarks.sample import target_json

    benchmarks, infos = load_benchmarks(config)
    for name, benchmark in benchmarks.items():
        hidden = benchmark.protected and not words.reveal
        for sample_id in infos[name]:
            sample = benchmark.sample(sample_id)
            row = {
                "sample_id": sample_id,
                "query": HIDDEN if hidden else sample.prompt.query,
                "context_chars": sample.prompt.chars,
                "context_tokens": prompt_tokens(sample),
                "context_sha256": context_sha256(sample.prompt.context),
                "cluster": sample.info.cluster,
                "task_group": sample.info.task_group,
                "complexity": sample.info.complexity,
                "length": sample.info.length,
            }
            if words.targets:
                row["target"] = HIDDEN if hidden else target_json(benchmark, sample.target)
            print(json.dumps(row))
    return 0


def context_sha256(context: str | Sequence[str]) -> str:
    """Return the hash of a context. Documents are hashed with their lengths, so that their boundaries count."""
    if isinstance(context, str):
        return hashlib.sha256(context.encode("utf-8", "surrogatepass")).hexdigest()
    digest = hashlib.sha256()
    for document in context:
        data = document.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
