"""An RLM whose root composes typed combinators over sub-calls instead of writing free code."""

from rlm.methods.combinators.method import RLMCombinators

__all__ = ["RLMCombinators"]
