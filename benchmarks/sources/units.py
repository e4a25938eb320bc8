"""Counts the tokens of text units so that the counts add up to that of the joined text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rlm.models.tokens import count_tokens, encoder


def token_costs(units: Sequence[str], encoding: str) -> NDArray[np.int64]:
    """Count the tokens of each unit. Raises ValueError if their sum differs from the count of the joined text.

    Encodings split a text into words before they merge bytes. If each unit begins with a space or follows a line end,
    no word spans two units and counts add up.
    """
    costs = np.array(list(map(encoder(encoding).count, units)), dtype=np.int64)
    joined = "".join(units)
    total = count_tokens(joined, encoding)
    if int(costs.sum()) != total:
        raise ValueError(
            f"encoding {encoding!r} counts {total} tokens in a text and {costs.sum()} in its {len(units)} parts: "
            "expected an encoding whose counts add up, such as o200k_base"
        )
    return costs
