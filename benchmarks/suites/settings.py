"""Types of settings that several suites share; `rlm.validation` checks a configuration against them."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le
from pydantic import AfterValidator

# A plan with more samples would fill the memory.
MOST_SAMPLES = 1_000_000
# The number of tokens of a prompt.
LONGEST = 100_000_000


def _each_once(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("each value once")
    return values


def _known_encoding(name: str) -> str:
    from rlm.models.tokens import encoder

    try:
        encoder(name)
    except ValueError as error:
        raise ValueError("the name of a token encoding, such as o200k_base") from error
    return name


EACH_ONCE = AfterValidator(_each_once)
SampleCount = Annotated[int, Ge(1), Le(MOST_SAMPLES)]
Encoding = Annotated[str, AfterValidator(_known_encoding)]
