"""Several RLM programs for one prompt, of which one is chosen."""

from rlm.methods.selfconsistency.method import RLMSelfConsistency

__all__ = ["RLMSelfConsistency"]
