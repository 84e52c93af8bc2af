"""Steps that a worker does beside the lane, at work on a GPU: what they ask of each frame waits for nobody.

Those that look at raw frames find them where the lane put them. Those that need a whole block take it when it is
complete, as the steps before them left it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Plan, Product
from ..stream.tables import Rows
from .accelerator import Accelerator
from .focus import Focus
from .focus_step import FocusReducer
from .foreground import Foreground, Mask
from .foreground_step import ForegroundReducer
from .gpu_focus import GpuFocusMeter
from .gpu_foreground import GpuForegroundMasker
from .gpu_histogram import GpuTallier
from .gpu_moments import GpuStackSums
from .gpu_quantise import GpuQuantiser
from .histogram import Histogram
from .histogram_step import HistogramReducer
from .hot_test import HotTest, HotTestReducer
from .quantise import Quantise
from .quantise_step import QuantiseReducer
from .step import Arrays, StepReducer, part_size

#: Pixels that are sent to the device, quantised and fetched together.
QUANTISED_AT_ONCE: Final = 2**23


class GpuHistogramReducer(HistogramReducer):
    """Makes the histograms of one block after another on a device.

    Parameters
    ----------
    accelerator : Accelerator
    plan : Plan
    parameters : Histogram
    """

    def __init__(self, accelerator: Accelerator, plan: Plan, parameters: Histogram) -> None:
        super().__init__(plan, parameters)
        self._there = GpuTallier(accelerator, parameters.width, math.prod(plan.blocks.step))

    def add(self, at: int, raw: Any, level0: Any) -> None:
        """Ask for the tally of a frame."""
        self._there.ask(raw, at)

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Complete the block."""
        for at, tally in self._there.fetch(self._bins, present.reshape(-1)).items():
            self._put(at, tally)
        return super().finish(arrays, present)


class GpuFocusReducer(FocusReducer):
    """Measures the frames of one block after another on a device.

    Parameters
    ----------
    accelerator : Accelerator
    plan : Plan
    parameters : Focus
    """

    def __init__(self, accelerator: Accelerator, plan: Plan, parameters: Focus) -> None:
        super().__init__(plan, parameters)
        self._there = GpuFocusMeter(accelerator, plan.frame_shape, parameters, math.prod(plan.blocks.step))

    def add(self, at: int, raw: Any, level0: Any) -> None:
        """Ask for the measures of a frame."""
        self._there.ask(raw, at)

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Give the rows of the frames that came."""
        for at, sharpness in self._there.fetch(present.reshape(-1)).items():
            self._rows.put(at, *sharpness)
        return super().finish(arrays, present)


def gpu_hot_test(accelerator: Accelerator, plan: Plan, parameters: HotTest) -> HotTestReducer:
    """Give the step `hot_test` with the sums of its stacks on a device."""
    return HotTestReducer(plan, parameters, partial(GpuStackSums, accelerator))


class _Masker:
    # All that it takes of the device it takes here: a GPU that fills up later costs no block.
    def __init__(self, accelerator: Accelerator, shape: tuple[int, int, int], *known: Any) -> None:
        self._accelerator, self._there = accelerator, GpuForegroundMasker(accelerator, shape, *known)
        self._stack, self._made = accelerator.xp.zeros(shape, np.uint16), accelerator.xp.zeros(shape, np.uint8)

    def mask(self, stack: NDArray[np.uint16], out: NDArray[np.uint8]) -> Mask:
        there, made = self._stack[: len(stack)], self._made[: len(stack)]
        self._accelerator.to_device(stack, there)
        found = self._there.mask(there, made)
        return found._replace(mask=self._accelerator.to_host(made, out))


def gpu_foreground(
    accelerator: Accelerator, plan: Plan, levels: tuple[Product, ...], parameters: Foreground
) -> ForegroundReducer:
    """Give the step `foreground` with its masks made on a device."""
    return ForegroundReducer(plan, levels, parameters, partial(_Masker, accelerator))


class _Quantiser:
    # As for `_Masker`; every pixel is looked up by itself, so one part after another can be.
    def __init__(self, accelerator: Accelerator, parameters: Quantise, most: int) -> None:
        self._accelerator, self._there = accelerator, GpuQuantiser(accelerator, parameters)
        self.codes = accelerator.to_host(self._there.codes)
        size = min(most, QUANTISED_AT_ONCE)
        self._counts = accelerator.xp.zeros(size, np.uint16)
        self._made = accelerator.xp.zeros(size, self.codes.dtype)

    def quantise(self, pixels: NDArray[np.uint16], out: NDArray[Any]) -> None:
        counts, codes, most = pixels.reshape(-1), out.reshape(-1), self._counts.size
        for first in range(0, counts.size, most):
            part = counts[first : first + most]
            there, made = self._counts[: part.size], self._made[: part.size]
            self._accelerator.to_device(part, there)
            self._there.quantise(there, made)
            self._accelerator.to_host(made, codes[first : first + most])


def gpu_quantise(
    accelerator: Accelerator, plan: Plan, products: tuple[Product, ...], parameters: Quantise
) -> QuantiseReducer:
    """Give the step `quantise` with its tables on a device."""
    most = max((part_size(product, plan) for product in products), default=1)
    return QuantiseReducer(plan, products, _Quantiser(accelerator, parameters, most))


#: Reducers by the name of the step; each takes an `Accelerator`, then what the form of the step tells.
GPU_REDUCERS: Final[Mapping[str, Callable[..., StepReducer]]] = MappingProxyType(
    {
        "histogram": GpuHistogramReducer,
        "focus": GpuFocusReducer,
        "hot_test": gpu_hot_test,
        "foreground": gpu_foreground,
        "quantise": gpu_quantise,
    }
)
