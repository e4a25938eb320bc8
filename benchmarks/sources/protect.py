"""Keeps the texts of protected benchmarks (BrowseComp-Plus) from lying about in the clear.

Their authors ask that queries and answers never stand where a crawler finds them. This is no secret-keeping: like the
data set's own obfuscation it is base64 of the text XORed with the SHA-256 of a fixed string, repeated.
"""

from __future__ import annotations

import base64
import hashlib

PREFIX = "sealed:"
HIDDEN = "[protected]"
_KEY = hashlib.sha256(b"rlm-eval: text of a protected benchmark, not for training").digest()


def seal(text: str) -> str:
    """The text in a form that is not readable at sight."""
    return PREFIX + base64.b64encode(_xor(text.encode("utf-8", "surrogatepass"))).decode("ascii")


def unseal(text: str) -> str:
    """The text again; one that is not sealed comes back as it is. Raises ValueError for what seal cannot have made."""
    if not text.startswith(PREFIX):
        return text
    return _xor(base64.b64decode(text[len(PREFIX) :], validate=True)).decode("utf-8", "surrogatepass")


def _xor(data: bytes) -> bytes:
    import numpy as np

    values = np.frombuffer(data, dtype=np.uint8)
    return (values ^ np.resize(np.frombuffer(_KEY, dtype=np.uint8), values.shape)).tobytes()
