"""Recursive Language Models and the methods they are compared with: text in, text out, under one budget."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.completion import Completion, Status, StopReason, Usage
    from rlm.limits import Budget, Limits
    from rlm.methods.base import BaseBm25, BaseTruncated, PlainModel
    from rlm.methods.codeact.loop import CodeAct
    from rlm.methods.compaction import Compaction
    from rlm.methods.map_reduce import MapReduce
    from rlm.methods.method import Answer, Method
    from rlm.methods.rlm.method import RLM
    from rlm.models import load_model
    from rlm.models.chat import ChatModel, FatalModelError
    from rlm.models.scripted import ScriptedModel
    from rlm.prompt import Prompt, PromptLike
    from rlm.trajectory import Event, Trajectory
    from rlm.tree import CallTree

# A module is imported when one of its names is first used, so that `import rlm` is fast.
_HOMES = {
    "RLM": "rlm.methods.rlm.method",
    "Answer": "rlm.methods.method",
    "BaseBm25": "rlm.methods.base",
    "PlainModel": "rlm.methods.base",
    "BaseTruncated": "rlm.methods.base",
    "Budget": "rlm.limits",
    "CallTree": "rlm.tree",
    "ChatModel": "rlm.models.chat",
    "CodeAct": "rlm.methods.codeact.loop",
    "Compaction": "rlm.methods.compaction",
    "Completion": "rlm.completion",
    "Event": "rlm.trajectory",
    "FatalModelError": "rlm.models.chat",
    "Limits": "rlm.limits",
    "MapReduce": "rlm.methods.map_reduce",
    "Method": "rlm.methods.method",
    "Prompt": "rlm.prompt",
    "PromptLike": "rlm.prompt",
    "ScriptedModel": "rlm.models.scripted",
    "Status": "rlm.completion",
    "StopReason": "rlm.completion",
    "Trajectory": "rlm.trajectory",
    "Usage": "rlm.completion",
    "load_model": "rlm.models",
}

__all__ = [
    "RLM",
    "Answer",
    "BaseBm25",
    "BaseTruncated",
    "Budget",
    "CallTree",
    "ChatModel",
    "CodeAct",
    "Compaction",
    "Completion",
    "Event",
    "FatalModelError",
    "Limits",
    "MapReduce",
    "Method",
    "PlainModel",
    "Prompt",
    "PromptLike",
    "ScriptedModel",
    "Status",
    "StopReason",
    "Trajectory",
    "Usage",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rlm-eval")
    if name == "BaseModel":
        warnings.warn("rlm.BaseModel is deprecated: use rlm.PlainModel", DeprecationWarning, stacklevel=2)
        name = "PlainModel"
    if name not in _HOMES:
        raise AttributeError(f"module 'rlm' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
