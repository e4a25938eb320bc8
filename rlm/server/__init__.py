"""Serves methods as an OpenAI-compatible endpoint."""

from rlm.server.app import make_app

__all__ = ["make_app"]
