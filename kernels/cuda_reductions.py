"""The CUDA C++ of the reductions beside the lane: one text from files of ``cuda/``, and the names of its kernels."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

#: In the order in which they use one another. Joined, not included: a compiler's cache then sees every change.
FILES: Final = (
    "whole_numbers.cuh",
    "warp.cuh",
    "span.cuh",
    "block.cuh",
    "tally_pixels.cu",
    "sum_frames.cu",
    "project_frames.cu",
    "look_up.cu",
    "mask_stack.cu",
    "slide_baseline.cu",
    "find_candidates.cu",
    "sum_focus.cu",
    "translate.cu",
)
#: For NVRTC; the architecture comes from who compiles. A product fused into a sum would be rounded once less than on a
#: CPU; without, float32 has the same bits everywhere.
OPTIONS: Final = ("-std=c++17", "--fmad=false")
#: Every kernel, as C++ names it.
KERNELS: Final = (
    "tally_pixels",
    "sum_frames",
    "finish_moments",
    "project_frames",
    "mean_of_frames",
    "look_up<u16, u8>",
    "look_up<u16, u16>",
    "look_up<u8, u16>",
    "sample_stack",
    "mask_stack",
    "slide_baseline",
    "change_from_baseline",
    "smooth_cells",
    "change_of_cells",
    "find_candidates",
    "list_candidates",
    "sum_focus",
    "translate",
)
#: Kernels that compute in float64, once a block: where a float32 would not hold the difference of two sums.
ONCE_A_BLOCK: Final = ("finish_moments",)


@cache
def source() -> str:
    """Give the whole text, for NVRTC or for a C++ compiler with an emulation of CUDA before it.

    Returns
    -------
    str
        CUDA C++17 without any include.
    """
    folder = Path(__file__).parent / "cuda"
    return "\n".join(f'#line 1 "{name}"\n{(folder / name).read_text(encoding="utf-8")}' for name in FILES)
