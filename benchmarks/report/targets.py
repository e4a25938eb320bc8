"""Shows a target, which samples.parquet holds as canonical JSON, as text beside an answer."""

from __future__ import annotations

import json
from typing import Any

from rlm.structure import bounded_json


def target_text(target: str) -> str:
    """Return a target for reading: the text itself, a list as `a, b`, and an object with its answer first.

    The fields of an object other than `answer` follow in lines of their own. Text that is not JSON is returned as is.
    """
    try:
        value = bounded_json(target)
    except (ValueError, RecursionError):
        return target
    if not isinstance(value, dict):
        return _shown(value)
    first = [_shown(value["answer"])] if "answer" in value else []
    return "\n".join(first + [f"{name}: {_shown(field)}" for name, field in value.items() if name != "answer"])


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return json.dumps(value, ensure_ascii=False)
