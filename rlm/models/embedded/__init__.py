"""The embedded model: small weights that run on this machine's CPU, without a key or a network."""

from rlm.models.embedded.model import EmbeddedModel, find_weights

__all__ = ["EmbeddedModel", "find_weights"]
