"""The Recursive Language Model."""

from rlm.methods.rlm.bm25 import RLMBm25
from rlm.methods.rlm.loop import RLM

__all__ = ["RLM", "RLMBm25"]
