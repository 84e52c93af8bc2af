"""Frames and stacks as tests of exact arithmetic want them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

kinds = st.sampled_from(["any", "dim", "dark", "full", "falling", "ends"])


def counts_of(shape, kind, seed=0):
    """Give uint16 counts: any, a dim image, all 0, all 65535, falling along the array, or next to the ends."""
    rng = np.random.default_rng(seed)
    if kind == "dim":
        return rng.poisson(120, shape).astype(np.uint16)
    if kind in ("dark", "full"):
        return np.full(shape, 65535 if kind == "full" else 0, np.uint16)
    if kind == "falling":
        return (65535 - 199 * np.arange(np.prod(shape)) % 65536).astype(np.uint16).reshape(shape)
    if kind == "ends":
        return rng.choice(np.array([0, 1, 15, 16, 4095, 4096, 65519, 65520, 65534, 65535], np.uint16), shape)
    return rng.integers(0, 65536, shape, dtype=np.uint16)
