"""Candidates of events on a GPU."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .accelerator import THREADS, Accelerator, blocks_for, check_counts
from .candidates import EventFinder
from .events import Events
from .gaussian import half_kernel

#: Pixels (x, y) that a block smooths, and rows that a block searches.
_PART: Final = (32, 8)
#: What a candidate is on the device.
_CANDIDATE: Final = np.dtype([("y", np.int32), ("x", np.int32), ("score", np.float32)])


class GpuEventFinder(EventFinder):
    """Finds candidates, as `EventFinder`, bit for bit. Not for several threads at once.

    Parameters
    ----------
    accelerator : Accelerator
    parameters : Events
    sensor : tuple of int
        Raw frame (y, x), pixels.
    background : float, counts
        What a pixel has where there is no light.
    """

    def __init__(
        self, accelerator: Accelerator, parameters: Events, sensor: tuple[int, int], background: float
    ) -> None:
        super().__init__(parameters, sensor, background)
        self._accelerator, xp = accelerator, accelerator.xp
        shape = self._change.shape
        self._kernel = xp.asarray(half_kernel(parameters.sigma / parameters.bin))
        self._wide, self._half, self._relative = (xp.zeros(shape, np.float32) for _ in range(3))
        # Two of one row are more than the reach apart.
        self._places = blocks_for(shape[1], parameters.reach + 1)
        self._columns = xp.zeros((shape[0], self._places), np.int32)
        self._counts, self._number = xp.zeros(shape[0], np.int32), xp.zeros(1, np.int32)
        self._list = xp.zeros(len(self._found) * _CANDIDATE.itemsize, np.uint8)

    def smooth(self, image: Any, out: Any) -> None:
        """Smooth an image.

        Parameters
        ----------
        image : uint16 (y, x) of the device, C-contiguous, counts
            Of the level; read only.
        out : float32 (y, x) of the device, C-contiguous
            Result.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        check_counts(image, self._change.shape)
        self._wide[...] = image
        lines, columns = out.shape
        grid = blocks_for(columns, _PART[0]), blocks_for(lines, _PART[1])
        size, reach = (np.int32(lines), np.int32(columns)), np.int32(self._kernel.size - 1)
        for along_y, taken, given in ((1, self._wide, self._half), (0, self._half, out)):
            known = *size, np.int32(along_y), self._kernel, reach
            self._accelerator.launch("smooth_cells", grid, _PART, taken, *known, given)

    def compare(self, now: Any, before: Any) -> NDArray[Any]:
        """Find the candidates of an image.

        Parameters
        ----------
        now, before : float32 (y, x) of the device
            The image, smoothed, and the one it is compared with.

        Returns
        -------
        array of `CANDIDATE`, in reading order
            In host memory.
        """
        launch, known, change = self._accelerator.launch, self._parameters, self._relative
        limits = np.float32(self._background), np.float32(known.floor)
        launch(
            "change_of_cells",
            (blocks_for(change.size, THREADS),),
            (THREADS,),
            now,
            before,
            np.int64(change.size),
            *limits,
            change,
        )
        size, places = (np.int32(change.shape[0]), np.int32(change.shape[1])), np.int32(self._places)
        rows = self._columns, self._counts
        search = np.float32(known.threshold), np.int32(known.reach), places
        launch("find_candidates", (blocks_for(change.shape[0], _PART[1]),), _PART, change, *size, *search, *rows)
        launch("list_candidates", (1,), (THREADS,), change, *size, places, *rows, self._number, self._list)
        found = int(self._accelerator.to_host(self._number)[0])
        listed = self._accelerator.to_host(self._list[: found * _CANDIDATE.itemsize]).view(_CANDIDATE)
        return self._table(np.stack([listed["y"], listed["x"]], axis=1), listed["score"])
