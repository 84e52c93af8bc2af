"""What ``octostream bench kernels`` measures: the lane in its usual forms, and every other step of octostream alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..kernels.lane import Lane, LanePlan, plan_lane
from ..kernels.lane_report import lane_report
from ..kernels.maps import digest
from ..kernels.parameters import MapReference
from ..kernels.recipe import Recipe
from ..kernels.reduction import plan_reduction
from ..kernels.step import Planned
from ..kernels.steps import find_step, step_names
from ..stream.model import Plan, Product
from .kernel_case import KernelCase
from .kernel_rivals import lane_rivals, step_rivals

#: Frames that are worked on in turn: more than any cache holds.
FRAMES: Final = 16
#: Time points of the movie that series are measured on; they come to far fewer.
_MOVIE: Final = 1_000_000
#: Steps that look at the raw frame; the others look at level 0.
_RAW: Final = ("histogram", "focus", "hot_test")
#: What a series keeps of a pixel and changes with every image, bytes: two sums; a maximum, a minimum and a sum.
_KEPT: Final = {"moments": 8 + 8, "time_projections": 2 + 2 + 8}
#: Why a step takes more than twice what memory alone would.
_WHY: Final[dict[str, str]] = {
    "lane, numbers, bin 2": "computes: sums over cells, statistics, rounding, projections and levels in turn",
    "lane, maps, bin 2": "a product with the gain for every pixel takes half of it; numbers multiply the sum of a cell",
    "histogram": "one increment a pixel takes half of it, exact sums a fifth",
    "focus": "the Sobel gradients take a third of it, a cosine transform of 512 x 512 a quarter",
    "hot_test": "two sorts of a float64 a pixel take 85 % of it",
    "foreground": "smoothing along three axes for the mask takes two thirds of it, finding the level a third",
    "drift": "four Fourier transforms take two thirds of it",
    "baseline": "reads the 70 points of each pixel, 140 bytes where the image has 2",
    "events": "everything changes: the search for the highest takes 40 % of it, following 35 %",
}


def kernel_cases(frames: NDArray[np.uint16], only: str = "") -> Iterator[KernelCase]:
    """Give the cases one after the other; what one holds is free again when the next is asked for.

    Parameters
    ----------
    frames : uint16 (n, y, x), raw counts
        `FRAMES` of them.
    only : str
        How the names of those begin that are wanted.
    """
    makers: dict[str, Callable[[str], KernelCase]] = {
        "lane, numbers, bin 2": lambda name: _lane(name, frames, {}, lane_rivals(frames)),
        "lane, maps, bin 2": lambda name: _lane(name, frames, calibration_maps(frames[0].shape)),
        "lane, numbers, bin 1": lambda name: _lane(name, frames, {}, {}, "bin.factor=1"),
    }
    makers |= {name: lambda name: _step(name, frames) for name in step_names() if find_step(name).plan is not None}
    for name, make in makers.items():
        if name.startswith(only):
            yield make(name)


def calibration_maps(shape: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    """Make up maps of offset and gain, float32 (y, x)."""
    rng = np.random.default_rng(0)
    offset, gain = rng.normal(100, 2, shape), rng.normal(0.5, 0.01, shape)
    return {"calibrate.offset": offset.astype(np.float32), "calibrate.gain": gain.astype(np.float32)}


def lane_plan(plan: Plan, maps: dict[str, NDArray[np.float32]], *overrides: str) -> LanePlan:
    """Plan the pass of the recipe ``lightsheet``, with maps by ``"step.parameter"`` and changes to its parameters."""
    recipe = Recipe.load("lightsheet", overrides)
    values = {key: MapReference(key, f"{key}.npy", digest(array)) for key, array in maps.items()}
    return plan_lane(Recipe(recipe.name, recipe.steps, {**recipe.values, **values}), plan, maps, keep_raw=False)


def _plan(frames: NDArray[np.uint16]) -> Plan:
    return Plan((1, 1, len(frames), frames.shape[1], frames.shape[2]))


def _lane(
    name: str, frames: NDArray[np.uint16], maps: dict[str, Any], rivals: dict[str, Any] | None = None, *overrides: str
) -> KernelCase:
    plan = _plan(frames)
    planned = lane_plan(plan, maps, *overrides)
    lane = Lane(planned)
    lane.begin(plan.blocks[0].extent)
    turn = cycle(range(len(frames)))

    def ours() -> None:
        at = next(turn)
        lane.add(at, frames[at])

    return KernelCase(name, 1, lane_report(planned).moved_bytes, ours, rivals or {}, _WHY.get(name, ""))


def _moved(read: int, written: tuple[Product, ...], frames: NDArray[np.uint16]) -> int:
    # A product of a whole stack is a plane that is read and written with every frame.
    per_frame = (int(np.prod(p.shape)) // (len(frames) if "z" in p.axes else 1) for p in written)
    return read + sum(2 * n * np.dtype(p.dtype).itemsize for n, p in zip(per_frame, written, strict=True))


def _step(name: str, frames: NDArray[np.uint16]) -> KernelCase:
    step, plan = find_step(name), _plan(frames)
    base = plan_reduction(_recipe(plan), plan)
    reducer = base.reducer()
    reducer.begin(plan.blocks[0])
    for number, frame in enumerate(frames):
        reducer.add(number, frame)
    arrays = dict(reducer.finish())
    shown = plan if step.kind != "derived" else Plan((_MOVIE, 1, 1, *frames.shape[1:]))
    reduction = plan_reduction(_recipe(shown), shown, extra=[(step, step.parameters())])
    if reduction.series:
        return _series(name, reduction.series[-1], plan, frames, arrays)
    return _block(name, reduction.steps[-1], plan, frames, arrays)


def _recipe(plan: Plan) -> Recipe:
    # Three levels whatever the size: those that follow look at pixels of 4 × 4 raw ones.
    return Recipe.load("lightsheet", [f"pyramid.until={max(1, max(plan.frame_shape) // 8)}"])


def _block(name: str, planned: Planned, plan: Plan, frames: NDArray[np.uint16], arrays: dict[str, Any]) -> KernelCase:
    assert planned.reducer is not None
    reducer, level0 = planned.reducer(), arrays["0"][0, 0]
    present = np.ones(plan.blocks[0].extent, bool)
    # A step may work on levels in place; then it must not see its own output, nor may others.
    changed = {p.path: arrays[p.path].copy() for p in planned.products if p.path in arrays}

    def restore() -> None:
        for path, array in changed.items():
            np.copyto(arrays[path], array)

    def ours() -> None:
        reducer.begin(plan.blocks[0])
        for at, frame in enumerate(frames):
            reducer.add(at, frame, level0[at])
        reducer.finish(dict(arrays), present)

    looked = frames if name in _RAW else level0
    moved = _moved(looked[0].nbytes, planned.products, frames) * len(frames)
    rivals = step_rivals(name, frames, {**arrays, **changed})
    return KernelCase(name, len(frames), moved, ours, rivals, _WHY.get(name, ""), restore)


def _series(name: str, planned: Planned, plan: Plan, frames: NDArray[np.uint16], arrays: dict[str, Any]) -> KernelCase:
    assert planned.series is not None
    series, images = planned.series(), arrays[planned.level][0, 0]
    movie = [np.ascontiguousarray(image[None, None]) for image in images]
    made = [p for p in planned.products if p.stage == "series"]
    out = {p.path: np.zeros((1, 1, *p.shape[-2:]), p.dtype) for p in made}
    present, t = np.ones((1, 1), bool), iter(range(10**9))

    def ours() -> None:
        for image in movie:
            series.take(next(t), image, present, out)

    kept = 2 * _KEPT.get(name, 0) * images[0].size
    moved = (images[0].nbytes + kept + sum(2 * a.nbytes for a in out.values())) * len(movie)
    return KernelCase(name, len(movie), moved, ours, step_rivals(name, frames, arrays), _WHY.get(name, ""))
