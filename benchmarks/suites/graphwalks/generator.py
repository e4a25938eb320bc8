"""Generated GraphWalks samples: random directed graphs, and operations whose results are not empty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.draws import Draws
from benchmarks.sources.files import DataError
from benchmarks.sources.units import token_costs
from benchmarks.suites.graphwalks.prompt import BFS, EDGE, HEAD, LAYOUT, PARENTS, query_of
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt

GENERATOR = "graphwalks-generated-1"
# A shorter prompt has room for a few edges only.
SHORTEST = 512
DEEPEST = 4
# As in the data set, the name of a node is the start of a hash.
_NAME_CHARS = 10
_EDGES_PER_NODE = 2
_FEWEST_TOKENS_AN_EDGE = 8
_MOST_NODES_OF_RESULT = 200
_STARTS_TRIED = 1000

Edges = Sequence[tuple[str, str]]


def generated_sample(
    info: SampleInfo, length: int, problem: str, depth: int, index: int, seed: int, encoding: str
) -> Sample:
    """Generate the index-th sample of a problem, `bfs` or `parents`. Its prompt is filled up to nearly `length` tokens.

    depth: the depth of the search.
    """
    draws = Draws(seed, "graphwalks", length, problem, depth, index)
    longest = query_of(BFS.format(node="f" * _NAME_CHARS, depth=DEEPEST))
    # Names differ in their numbers of tokens, so room for one long name is reserved.
    budget = length - count_tokens(HEAD + "\n" + longest, encoding) - _NAME_CHARS
    edges = _graph(draws, budget, encoding)
    nodes = list(dict.fromkeys(node for edge in edges for node in edge))
    for node in draws.some(nodes, _STARTS_TRIED):
        result = parents(edges, node) if problem == "parents" else at_depth(edges, node, depth)
        if 0 < len(result) <= _MOST_NODES_OF_RESULT:
            operation = (PARENTS if problem == "parents" else BFS).format(node=node, depth=depth)
            context = HEAD + "".join(EDGE.format(*edge) for edge in edges).rstrip("\n")
            return Sample(info, Prompt(context, query_of(operation), LAYOUT), tuple(sorted(result)))
    raise DataError(f"{info.sample_id}: no node has a result: expected a longer prompt than {length} tokens")


def at_depth(edges: Edges, start: str, depth: int) -> set[str]:
    """Return the nodes whose shortest path from a node has exactly `depth` edges."""
    targets = defaultdict(list)
    for source, target in edges:
        targets[source].append(target)
    seen, frontier = {start}, {start}
    for _ in range(depth):
        frontier = {target for node in frontier for target in targets[node]} - seen
        seen |= frontier
    return frontier


def parents(edges: Edges, node: str) -> set[str]:
    """Return the other nodes with an edge to a node."""
    return {source for source, target in edges if target == node and source != node}


def _graph(draws: Draws, budget: int, encoding: str) -> list[tuple[str, str]]:
    """Draw different edges between different nodes that have up to `budget` tokens together."""
    most = max(budget, 0) // _FEWEST_TOKENS_AN_EDGE + 1
    count = max(2, most // _EDGES_PER_NODE // 2)
    bits = 4 * _NAME_CHARS
    names = [f"{draws.below(1 << bits):0{_NAME_CHARS}x}" for _ in range(count)]
    ends = draws.many_below(count, 2 * most).reshape(most, 2).tolist()
    # A dict, not a set: the order must not depend on hashes.
    edges = list(dict.fromkeys((names[source], names[target]) for source, target in ends if source != target))
    costs = np.cumsum(token_costs([EDGE.format(*edge) for edge in edges], encoding))
    return edges[: int(np.searchsorted(costs, budget, side="right"))]
