"""Other RLM implementations as methods."""

from rlm.methods.reference.method import Reference

__all__ = ["Reference"]
