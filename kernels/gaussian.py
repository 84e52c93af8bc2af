"""Gaussian smoothing of images in float32."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .compiled import entry, piece

#: Where the kernel ends, standard deviations.
TRUNCATE: Final = 4.0


def smooth_reference(image: NDArray[np.floating], sigma: float) -> NDArray[np.float64]:
    """Smooth an image with SciPy in float64; the kernel is cut at 4 sigma, edge pixels repeat.

    Parameters
    ----------
    image : float (y, x)
    sigma : float, pixels

    Returns
    -------
    float64 (y, x)
    """
    return gaussian_filter(image.astype(np.float64), sigma, mode="nearest", truncate=TRUNCATE)


def half_kernel(sigma: float) -> NDArray[np.float32]:
    """Give one half of the kernel, the middle first.

    Parameters
    ----------
    sigma : float, pixels

    Returns
    -------
    float32 (int(4·sigma + 0.5) + 1,)
        The whole kernel has the sum 1.
    """
    at = np.arange(int(TRUNCATE * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (at / max(sigma, 1e-9)) ** 2)
    return (weights / (2 * weights.sum() - 1)).astype(np.float32)


@entry
def smooth(image: Any, weights: Any, out: Any) -> None:
    """Smooth an image, as `smooth_reference`.

    Parameters
    ----------
    image : uint16 (y, x), read only
    weights : float32 (reach + 1,)
        From `half_kernel`.
    out : float32 (y, x)
        Result.
    """
    height, width = image.shape
    reach = weights.size - 1
    padded = np.empty(width + 2 * reach, np.float32)
    row = padded[reach : reach + width]
    for y in range(height):
        line = image[y]
        for x in range(width):
            row[x] = weights[0] * np.float32(line[x])
        for i in range(1, reach + 1):
            _add_pair(image[max(y - i, 0)], image[min(y + i, height - 1)], weights[i], row)
        padded[:reach] = row[0]
        padded[reach + width :] = row[width - 1]
        line = out[y]
        for x in range(width):
            line[x] = weights[0] * row[x]
        for i in range(1, reach + 1):
            _add_pair(padded[reach - i : reach - i + width], padded[reach + i : reach + i + width], weights[i], line)


@piece
def _add_pair(one: Any, other: Any, weight: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] += weight * (np.float32(one[x]) + np.float32(other[x]))
