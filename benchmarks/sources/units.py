"""Texts put together from counted units, so that their length in tokens is known without reading them again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rlm.models.tokens import count_tokens, encoder


def token_costs(units: Sequence[str], encoding: str) -> NDArray[np.int64]:
    """Tokens of each unit. Raises ValueError where their sum is not the count of the units put together.

    Encodings split a text into words before they merge bytes; where each unit begins with a space or follows a line's
    end no word spans two units, and counts add up.
    """
    costs = np.array(list(map(encoder(encoding).count, units)), dtype=np.int64)
    joined = "".join(units)
    whole = count_tokens(joined, encoding)
    if int(costs.sum()) != whole:
        raise ValueError(
            f"encoding {encoding!r} counts {whole} tokens for a text whose {len(units)} parts count {costs.sum()}: "
            "lengths cannot be found under it; choose one such as o200k_base"
        )
    return costs
