"""Seals the texts of protected benchmarks (BrowseComp-Plus), so that no file contains them in plain text.

The authors ask that crawlers find no queries and answers. Sealing is obfuscation, not encryption. Like the data set's
encoding, it is base64 of the text XORed with the SHA-256 of a fixed string, repeated.
"""

from __future__ import annotations

import base64
import hashlib

PREFIX = "sealed:"
HIDDEN = "[protected]"
_KEY = hashlib.sha256(b"rlm-eval: text of a protected benchmark, not for training").digest()


def seal(text: str) -> str:
    """Return the text in sealed form."""
    return PREFIX + base64.b64encode(xor(text.encode("utf-8", "surrogatepass"), _KEY)).decode("ascii")


def sealed_bytes(data: bytes) -> bytes:
    """Return bytes in sealed form; of sealed bytes, the bytes themselves."""
    return xor(data, _KEY)


def unseal(text: str) -> str:
    """Return the text of a sealed form; other texts are returned unchanged.

    Raises ValueError for an invalid sealed form.
    """
    if not text.startswith(PREFIX):
        return text
    return xor(base64.b64decode(text[len(PREFIX) :], validate=True), _KEY).decode("utf-8", "surrogatepass")


def xor(data: bytes, key: bytes) -> bytes:
    """XOR bytes with a repeated key; doing it twice restores the bytes."""
    import numpy as np

    values = np.frombuffer(data, dtype=np.uint8)
    return (values ^ np.resize(np.frombuffer(key, dtype=np.uint8), values.shape)).tobytes()
