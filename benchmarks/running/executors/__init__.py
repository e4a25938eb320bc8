"""Where samples run: in this process, or spread over a cluster."""


class ExecutorError(Exception):
    """The samples cannot be run any further; the message is one line."""
