"""The texts of GraphWalks prompts, with the data set's layout and form of answer."""

from __future__ import annotations

from rlm.prompt import Message

HEAD = (
    "Below is a directed graph, one edge a line. An operation on the graph follows it.\n"
    "The nodes of a breadth-first search at depth N are those whose shortest path from the start has exactly N edges. "
    "The parents of a node are the nodes with an edge to it. The node in question is never part of the result.\n"
)
BFS = "Perform a breadth-first search from node {node} and give the nodes at depth {depth}."
PARENTS = "Give the parents of node {node}."
ENDING = (
    "End your reply with one line that has the resulting nodes, in any order, in this form:\nFinal Answer: [node, node]"
)
EDGE = "{} -> {}\n"
# The word before the operation in the data set's prompts, which is also used here.
OPERATION = "Operation:"
LAYOUT: tuple[Message, ...] = ({"role": "user", "content": "{context}\n{query}"},)


def query_of(operation: str) -> str:
    """Format an operation and the form of its answer."""
    return f"{OPERATION}\n{operation}\n\n{ENDING}"


def answer_of(nodes: tuple[str, ...]) -> str:
    """Format an answer as the prompt asks for it."""
    return f"Final Answer: [{', '.join(nodes)}]"
