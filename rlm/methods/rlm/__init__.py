"""The Recursive Language Model."""

from rlm.methods.rlm.compacted import RLMCompacted
from rlm.methods.rlm.method import RLM, RLMBm25

__all__ = ["RLM", "RLMBm25", "RLMCompacted"]
