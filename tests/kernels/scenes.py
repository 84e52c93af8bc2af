"""Scenes that can be moved by any part of a pixel."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import fourier_shift, gaussian_filter


def texture(shape, seed, fine=3.0):
    """Give a smooth scene with blobs of many brightnesses, periodic, so that it can be moved without a border."""
    rng = np.random.default_rng(seed)
    scene = gaussian_filter(rng.random(shape) ** 8, fine, mode="wrap")
    return 200 + 3000 * (scene - scene.min()) / np.ptp(scene)


def moved(scene, dy, dx, seed=None):
    """Move a scene by a Fourier shift, any part of a pixel, and let photons fall."""
    exact = np.fft.ifft2(fourier_shift(np.fft.fft2(scene), (dy, dx))).real.clip(0, 65535)
    return (np.rint(exact) if seed is None else np.random.default_rng(seed).poisson(exact)).astype(np.uint16)
