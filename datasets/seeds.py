"""Seeded generators: every random draw is a function of (seed, purpose, row).

No draw depends on a batch size, on the order of jobs or on global random state.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, purpose: str, row: int = 0) -> int:
    """Return 64 bits of SHA-256 of (seed, purpose, row), as a non-negative integer."""
    text = f"{seed}\x1f{purpose}\x1f{row}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


def generator(seed: int, purpose: str, row: int = 0) -> np.random.Generator:
    """Return NumPy's PCG64 generator seeded by :func:`derive`."""
    return np.random.Generator(np.random.PCG64(derive(seed, purpose, row)))
