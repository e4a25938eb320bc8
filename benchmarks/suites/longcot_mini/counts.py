"""Right answers of the puzzles whose answer is a number."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import accumulate, combinations
from math import gcd


def least_health(grid: Sequence[Sequence[int]]) -> int:
    """Return the least health above 0 with which a walk right and down through a grid stays above 0."""
    width = len(grid[0])
    # The health that is needed before a cell of the row below.
    below: list[int | None] = [None] * width
    for row in reversed(grid):
        right: int | None = None
        for column in reversed(range(width)):
            ways = [need for need in (below[column], right) if need is not None]
            right = below[column] = max(1, min(ways, default=1) - row[column])
    assert right is not None
    return right


def least_waste(packages: Sequence[int], suppliers: Sequence[Sequence[int]], modulus: int) -> int:
    """Return the least waste with the boxes of one supplier, modulo `modulus`; -1 if none has boxes for all."""
    sizes = sorted(packages)
    wastes = []
    for boxes in map(sorted, suppliers):
        if boxes and boxes[-1] >= sizes[-1]:
            # The number of packages that fit into each box, smaller boxes first.
            fitting = [0, *(bisect_left(sizes, box + 1) for box in boxes)]
            wastes.append(sum(box * (fitting[i + 1] - fitting[i]) for i, box in enumerate(boxes)) - sum(sizes))
    return min(wastes) % modulus if wastes else -1


def total_strength(strengths: Sequence[int], modulus: int) -> int:
    """Return the sum, over all contiguous groups, of the least strength times the sum, modulo `modulus`."""
    sums = list(accumulate(accumulate(strengths, initial=0), initial=0))
    total = 0
    stack: list[int] = []
    for place, strength in enumerate([*strengths, None]):
        while stack and (strength is None or strengths[stack[-1]] >= strength):
            middle = stack.pop()
            left = stack[-1] if stack else -1
            # The groups whose least strength is at `middle`: sums of prefix sums right of it and left of it.
            high = (sums[place + 1] - sums[middle + 1]) * (middle - left)
            low = (sums[middle + 1] - sums[left + 1]) * (place - middle)
            total += strengths[middle] * (high - low)
        stack.append(place)
    return total % modulus


def trapezoids(points: Sequence[Sequence[int]]) -> int:
    """Return the number of sets of four points that form a convex quadrilateral with at least two parallel sides."""
    # By direction, the number of segments on each line; by middle, the directions of the segments.
    lines: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    middles: dict[tuple[int, int], Counter[tuple[int, int]]] = defaultdict(Counter)
    for (x, y), (u, v) in combinations(points, 2):
        across, up = u - x, v - y
        scale = gcd(across, up) * (-1 if (across, up) < (0, 0) else 1)
        direction = across // scale, up // scale
        lines[direction][direction[0] * y - direction[1] * x] += 1
        middles[x + u, y + v][direction] += 1
    # A parallelogram has two pairs of parallel sides, and its diagonals share their middle.
    return sum(_pairs(found) for found in lines.values()) - sum(_pairs(found) for found in middles.values())


def _pairs(counts: Counter[int] | Counter[tuple[int, int]]) -> int:
    """Return the number of pairs of items in different groups."""
    total = sum(counts.values())
    return (total * total - sum(count * count for count in counts.values())) // 2
