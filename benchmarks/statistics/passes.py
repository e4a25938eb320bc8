"""Scores of several answers to one sample: pass@k, and the score of the answer that most of them give."""

from __future__ import annotations

import math
from collections.abc import Sequence


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Return the unbiased estimate of the chance that at least one of k answers is correct, from n answers.

    It is 1 - C(n - correct, k) / C(n, k), the share of the subsets of k answers with a correct one (Chen et al. 2021,
    arXiv:2107.03374, equation 1). Raises ValueError unless 0 <= correct <= n and 1 <= k <= n.
    """
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(f"n={n}, correct={correct}, k={k}: expected 0 <= correct <= n and 1 <= k <= n")
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def majority_score(answers: Sequence[str | None], scores: Sequence[float]) -> float:
    """Return the score of the most frequent answer of a sample (Wang et al. 2022, arXiv:2203.11171).

    Answers are equal if they differ only in case and white space. None does not vote; without any vote the score is 0.
    The scores of equal answers are averaged, and so are answers that tie, as if one of them were drawn at random.
    """
    votes: dict[str, list[float]] = {}
    for answer, score in zip(answers, scores, strict=True):
        if answer is not None:
            votes.setdefault(" ".join(answer.casefold().split()), []).append(score)
    most = max(map(len, votes.values()), default=0)
    winners = [math.fsum(found) / most for found in votes.values() if len(found) == most]
    return math.fsum(winners) / len(winners) if winners else 0.0
