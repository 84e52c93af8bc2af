"""The CUDA C++ of the fused lane: one text from the files of ``cuda/``, and the names of its kernels."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from . import binning

#: In the order in which they use one another. Joined, not included: a compiler's cache then sees every change.
FILES: Final = (
    "whole_numbers.cuh",
    "warp.cuh",
    "span.cuh",
    "calibration.cuh",
    "heal_cells.cu",
    "reduce_frames.cu",
    "cells.cuh",
    "reduce_cells.cu",
    "finish_frames.cu",
    "halve_levels.cu",
)
#: For NVRTC; the architecture comes from who compiles.
OPTIONS: Final = ("-std=c++17",)
#: Kernels that are compiled for one binning and one form of the calibration each.
SHAPED: Final = ("heal_cells", "reduce_frames")
PLAIN: Final = ("finish_frames", "halve_levels")
FACTORS: Final = (1, 2, 4)
#: Kernels that are compiled for one binning of any kind each: by side of a cell and mode.
BINNED: Final = ("heal_any_cells", "reduce_cells")
BINNINGS: Final = ((1, "mean"), *((factor, mode) for factor in binning.FACTORS if factor > 1 for mode in binning.MODES))
#: Bits of a gain and of an addend in the maps, 0 where they are numbers. A gain map always comes with addends.
FORMS: Final = ((0, 0), (0, 32), (0, 64), (16, 32), (16, 64), (32, 32), (32, 64))


@cache
def source() -> str:
    """Give the whole text, for NVRTC or for a C++ compiler with an emulation of CUDA before it.

    Returns
    -------
    str
        CUDA C++17 without any include; kernels are templates, to be named as `kernel_name` does.
    """
    folder = Path(__file__).parent / "cuda"
    return "\n".join(f'#line 1 "{name}"\n{(folder / name).read_text(encoding="utf-8")}' for name in FILES)


def kernel_name(kernel: str, factor: int, gain_bits: int, addend_bits: int) -> str:
    """Name a kernel as C++ does.

    Parameters
    ----------
    kernel : str
        One of `SHAPED`.
    factor : int
        Binning, one of `FACTORS`.
    gain_bits, addend_bits : int
        One of `FORMS`.

    Returns
    -------
    str
        ``"reduce_frames<2, 0, 0>"``.
    """
    return f"{kernel}<{factor}, {gain_bits}, {addend_bits}>"


def binned_name(kernel: str, factor: int, mode: str) -> str:
    """Name a kernel of `BINNED` as C++ does, for one of `BINNINGS`: ``"reduce_cells<2, 3>"``."""
    return f"{kernel}<{factor}, {binning.MODES.index(mode)}>"


def all_kernels() -> tuple[str, ...]:
    """Name every kernel: `PLAIN` ones, `SHAPED` for all `FACTORS` and `FORMS`, `BINNED` for all `BINNINGS`."""
    shaped = (kernel_name(kernel, factor, *form) for kernel in SHAPED for factor in FACTORS for form in FORMS)
    binned = (binned_name(kernel, *how) for kernel in BINNED for how in BINNINGS)
    return (*PLAIN, *shaped, *binned)
