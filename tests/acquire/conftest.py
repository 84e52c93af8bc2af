"""Recordings that tests play: real ones where they lie beside the checkout, and small ones made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def lattice_file() -> Path:
    return real("lattice_lightsheet_raw.tif")


@pytest.fixture(scope="session")
def telomere_file() -> Path:
    return real("telomere_movie.tif")


def real(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the public recording {name} is not beside the checkout")
    return path


@pytest.fixture
def counts() -> NDArray[np.uint16]:
    """Twelve planes of 6×5 pixels, no two pixels alike."""
    pixels = np.random.default_rng(3).permutation(12 * 6 * 5) * 181 % 65521
    return pixels.astype(np.uint16).reshape(12, 6, 5)
