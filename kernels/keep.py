"""Keep or skip: how much there is to see in a stack, by one number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from . import runs
from .compiled import entry, sources
from .histogram import BINS, Tallier
from .kinds import Choice, Number, Whole
from .parameters import Parameters, declared
from .runs import RUN, run_apart, run_sums

#: Width of a bin of the histogram that the entropy is of, counts.
WIDTH: Final = 4


@dataclass(frozen=True)
class Keep(Parameters):
    """Stacks with little to see keep only their projections.

    The metric is of all pixels of level 0 of a stack, before anything is left out of it:

    - ``snr``: √(V / N - 1), with V the variance and N that of the noise, half the mean square difference of pixels next
      to each other along x. 0 is noise alone; 1 is structure as strong as the noise.
    - ``entropy``: -Σ p·log₂ p, bits, of the histogram with bins of 4 counts, all above 16379 in the last.
    - ``mean``, ``max``: counts above the pedestal.
    """

    step_name: ClassVar[str] = "keep"
    metric: str = declared("snr", Choice(("snr", "entropy", "mean", "max")), "what a stack is judged by")
    threshold: float = declared(0.5, Number("", 0), "stacks below it are skipped: a ratio (snr), bits or counts")
    every: int = declared(0, Whole("time points", 0), "every so many time points are kept in any case; 0: none")


def metric_reference(stack: NDArray[np.uint16], metric: str, pedestal: float) -> float:
    """Judge a stack in float64.

    Parameters
    ----------
    stack : uint16 (z, y, x), counts
    metric : str
        As for `Keep`.
    pedestal : float, counts

    Returns
    -------
    float
        Infinite where there is structure without any noise.
    """
    wide = stack.astype(np.float64)
    if metric in ("mean", "max"):
        return float(wide.mean() if metric == "mean" else wide.max()) - pedestal
    if metric == "entropy":
        share = np.bincount(np.minimum(stack.reshape(-1) // WIDTH, BINS - 1)) / stack.size
        share = share[share > 0]
        return float(-(share * np.log2(share)).sum())
    noise = (np.diff(wide, axis=2) ** 2).mean() / 2 if stack.shape[2] > 1 else 0.0
    return _ratio(wide.var(), noise)


def _ratio(variance: float, noise: float) -> float:
    if not noise:
        return math.inf if variance else 0.0
    return math.sqrt(max(variance / noise - 1, 0.0))


class PlaneBins:
    """Histograms of one plane after another, for the meters of one thread."""

    def __init__(self) -> None:
        self._tallier = Tallier(WIDTH)
        self._bins = np.zeros(BINS, np.uint32)

    def of(self, plane: NDArray[np.uint16]) -> NDArray[np.uint32]:
        """Give the histogram of a plane, valid until the next."""
        self._tallier.tally(plane, self._bins)
        return self._bins


class StackMeter:
    """Judges a stack plane by plane, in any order. Not for several threads at once.

    Parameters
    ----------
    metric : str
        As for `Keep`.
    pedestal : float, counts
    planes : PlaneBins
        Other meters of the same thread may have the same: a movie has many stacks.
    """

    def __init__(self, metric: str, pedestal: float, planes: PlaneBins) -> None:
        self._metric, self._pedestal, self._planes = metric, pedestal, planes
        # Of a block's part of a stack, which has less than 2³² pixels.
        self._bins = np.zeros(BINS if metric == "entropy" else 0, np.uint32)
        self.clear()

    def clear(self) -> None:
        """Forget all planes."""
        self._pixels = self._pairs = self._total = self._squares = self._apart = self._top = 0
        self._bins.fill(0)

    def add(self, plane: NDArray[np.uint16]) -> None:
        """Take a plane.

        Parameters
        ----------
        plane : uint16 (y, x), C-contiguous, counts
            Of level 0; read only.
        """
        self._pixels += plane.size
        if self._metric == "entropy":
            self._bins += self._planes.of(plane)
            return
        view = plane.view()
        view.flags.writeable = False
        top, total, squares, apart = (int(part) for part in _measure(view))
        self._pairs += plane.shape[0] * (plane.shape[1] - 1)
        self._total, self._squares, self._apart = self._total + total, self._squares + squares, self._apart + apart
        self._top = max(self._top, top)

    def metric(self) -> float:
        """Give the metric of the planes so far, at least one."""
        count = self._pixels
        if self._metric == "entropy":
            share = self._bins[self._bins > 0] / count
            return float(-(share * np.log2(share)).sum())
        if self._metric == "snr":
            variance = (count * self._squares - self._total**2) / count**2
            return _ratio(variance, self._apart / (2 * self._pairs) if self._pairs else 0.0)
        return (self._total / count if self._metric == "mean" else self._top) - self._pedestal


def _compose(pieces: str) -> Any:
    @entry
    def measure(plane: Any) -> Any:
        _ = pieces
        top, total, squares, apart = np.uint16(0), np.uint64(0), np.uint64(0), np.uint64(0)
        width = plane.shape[1]
        for y in range(plane.shape[0]):
            for start in range(0, width, RUN):
                run = plane[y, start : min(start + RUN, width)]
                _, high, run_total, run_squares = run_sums(run)
                top, total, squares = max(top, high), total + run_total, squares + run_squares
                apart += run_apart(run, plane[y, min(start + 1, width) : min(start + 1 + RUN, width)])
        return top, total, squares, apart

    return measure


_measure = _compose(sources(runs))
