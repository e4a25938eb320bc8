"""GraphWalks: walk a directed graph that fills the context, as in OpenAI's data set."""

from benchmarks.suites.graphwalks.suite import GraphWalks

__all__ = ["GraphWalks"]
