"""Command-line coding agents as methods."""

from rlm.methods.agents.cli import AgentCli

__all__ = ["AgentCli"]
