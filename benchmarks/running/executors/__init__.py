"""Executors run the samples of a plan: in this process, or on a cluster."""

from benchmarks.running.executors.loop import Stop


class ExecutorError(Exception):
    """No further sample can be run. The message is one line."""


__all__ = ["ExecutorError", "Stop"]
