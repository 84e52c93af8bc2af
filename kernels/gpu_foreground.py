"""Foreground of a stack on a GPU."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from .accelerator import THREADS, Accelerator, blocks_for, check_array, check_counts
from .foreground import SCALE, Foreground, Mask, level_of, samples_of, strides

#: Pixels (x, y) that a block masks.
_PART: Final = (32, 8)


class GpuForegroundMasker:
    """Masks one stack after another, as `ForegroundMasker`. Not for several threads at once.

    Parameters
    ----------
    accelerator : Accelerator
    shape : tuple of int
        Largest stack (z, y, x), pixels.
    parameters : Foreground
    chunk : tuple of int
        Chunk (z, y, x), pixels, each at least 1.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        shape: tuple[int, int, int],
        parameters: Foreground,
        chunk: tuple[int, int, int],
    ) -> None:
        self._accelerator, self._shape = accelerator, shape
        self._parameters, self._chunk = parameters, chunk
        along_z, along_yx = (accelerator.xp.asarray(part) for part in parameters.weights())
        self._weights = along_z, np.int32(along_z.size // 2), along_yx, np.int32(along_yx.size // 2)
        self._foreground = accelerator.xp.zeros(1, np.uint64)
        # Flat, as much as a stack of any depth takes.
        self._background = accelerator.xp.zeros(math.prod(self._chunks(shape)), np.uint8)
        self._samples = accelerator.xp.zeros(samples_of(shape), np.uint32)

    def mask(self, stack: Any, out: Any) -> Mask:
        """Mask a stack, as `foreground_reference`, bit for bit.

        It is smoothed where the level is taken, and then again for the mask. The level itself is found by the host,
        from some hundred thousand pixels: the one place where it waits.

        Parameters
        ----------
        stack : uint16 (z, y, x) of the device, C-contiguous, counts
            Read only; z may be smaller than planned.
        out : uint8 (z, y, x) of the device, C-contiguous
            Result: the mask.

        Returns
        -------
        Mask
            Its mask is ``out``; what else it has is in host memory.

        Raises
        ------
        ValueError
            If an array is not so, or empty.
        """
        check_counts(stack, (None, *self._shape[1:]))
        if len(stack) > self._shape[0]:
            raise ValueError(f"the stack has {len(stack)} planes, more than the {self._shape[0]} planned")
        check_array(out, stack.shape, np.uint8)
        limit = level_of(self._sample(stack), self._parameters)
        host, chunks = self._accelerator.to_host, self._chunks(stack.shape)
        background = self._background[: math.prod(chunks)].reshape(chunks)
        background.fill(1)
        self._foreground.fill(0)
        depth, height, width = stack.shape
        grid = blocks_for(width, _PART[0]), blocks_for(height, _PART[1]), depth
        chunk = (np.int32(step) for step in self._chunk)
        results = out, background, self._foreground
        known = np.int32(depth), np.int32(height), np.int32(width), *self._weights, np.uint32(limit), *chunk
        self._accelerator.launch("mask_stack", grid, _PART, stack, *known, *results)
        found = int(host(self._foreground)[0])
        return Mask(limit / SCALE, found, out, host(background).astype(bool))

    def _sample(self, stack: Any) -> Any:
        depth, height, width = stack.shape
        rows, columns = strides(stack.size)
        lines = blocks_for(depth * height, rows)
        # As many as `sampled_reference` gives: of every row that is taken, what is left from its first column on.
        turns = [blocks_for(max(width - turn, 0), columns) for turn in range(columns)]
        taken = lines // columns * sum(turns) + sum(turns[: lines % columns])
        samples = self._samples[:taken]
        known = (np.int32(size) for size in (depth, height, width))
        grid = lines, blocks_for(width, THREADS)
        steps = np.int32(rows), np.int32(columns)
        self._accelerator.launch("sample_stack", grid, (THREADS,), stack, *known, *self._weights, *steps, samples)
        return self._accelerator.to_host(samples)

    def _chunks(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        return tuple(blocks_for(size, step) for size, step in zip(shape, self._chunk, strict=True))
