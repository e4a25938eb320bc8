"""The configuration of methods that answer questions and requests outside a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.config.compose import compose
from benchmarks.config.schema import RunConfig

# The choices of conf/small_coder for the classes that have prompts of their own.
_CHOICES = {
    "rlm.methods.rlm.RLM": "rlm",
    "rlm.methods.rlm.RLMBm25": "rlm",
    "rlm.methods.rlm.RLMCompacted": "rlm",
    "rlm.methods.selfconsistency.RLMSelfConsistency": "rlm",
    "rlm.methods.codeact.CodeAct": "codeact",
}


def compose_outside_runs(overrides: Sequence[str]) -> RunConfig:
    """Compose the configuration of `ask` and `serve`: the method is rlm unless chosen, and nothing is recorded.

    Embedded weights that need prompts of their own as a root get them, except for a method for which the overrides
    choose such a group (`+paper@method.rlm=rlm`). A run states them itself, because they are a part of what it
    measures. Raises ConfigError.
    """
    chosen = any(word.startswith("method=") for word in overrides)
    words = [*([] if chosen else ["method=[rlm]"]), "cache.mode=off", *overrides]
    config = compose(words)
    needed = [word for word in _prompts(config) if not _is_chosen(word, overrides)]
    return compose([*words, *needed]) if needed else config


def _prompts(config: RunConfig) -> Iterator[str]:
    from rlm.models.embedded.section import EmbeddedModels
    from rlm.models.embedded.weights import known_weights

    models = getattr(config.model.roles, "local", {}).get("root")
    weights = known_weights().get(models.server("root").weights) if isinstance(models, EmbeddedModels) else None
    if weights is None or weights.prompts is None:
        return
    for name, target in config.method.items():
        if target.name in _CHOICES:
            yield f"+{weights.prompts}@method.{name}={_CHOICES[target.name]}"


def _is_chosen(needed: str, overrides: Sequence[str]) -> bool:
    """True if the overrides choose a group with the prompts of the method of `needed`, +GROUP@method.NAME=CHOICE."""
    place = needed.partition("@")[2]
    return any(word.partition("@")[2] == place and not word.startswith("+method@") for word in overrides)
