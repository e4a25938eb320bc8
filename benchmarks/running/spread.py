"""The order in which `limit` chooses samples: every prefix is spread over lengths and task groups."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Sequence


def spread_order(lengths: Sequence[int | None], groups: Sequence[str]) -> list[int]:
    """Return the places of samples, given by length and task group, in the order in which a limit takes them.

    The lengths take turns: the shortest, the longest, then the middle of the widest gap. Within a length the groups
    take turns, and each length begins with another group. Samples of one length and group keep their order.
    """
    length_rank = _ends_first(sorted(set(lengths), key=lambda length: (length is not None, length or 0)))
    group_rank = _ends_first(list(dict.fromkeys(groups)))
    earlier: Counter[tuple[int | None, str]] = Counter()
    by_length: defaultdict[int | None, list[tuple[int, int, int]]] = defaultdict(list)
    for place, (length, group) in enumerate(zip(lengths, groups, strict=True)):
        turn = (group_rank[group] - length_rank[length]) % len(group_rank)
        by_length[length].append((earlier[length, group], turn, place))
        earlier[length, group] += 1
    chosen = [
        (number, length_rank[length], place)
        for length, samples in by_length.items()
        for number, (_, _, place) in enumerate(sorted(samples))
    ]
    return [place for _, _, place in sorted(chosen)]


def _ends_first(values: Sequence[Hashable]) -> dict[Hashable, int]:
    """Rank different values: the first, the last, then the middle of each gap, wide gaps first."""
    ranks = {value: rank for rank, value in enumerate(dict.fromkeys([*values[:1], *values[-1:]]))}
    gaps = deque([(0, len(values) - 1)])
    while gaps:
        low, high = gaps.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            ranks[values[middle]] = len(ranks)
            gaps += [(low, middle), (middle, high)]
    return ranks
