"""Runs several RLM programs for one prompt and chooses one of them."""

from rlm.methods.selfconsistency.method import RLMSelfConsistency

__all__ = ["RLMSelfConsistency"]
