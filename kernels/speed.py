"""How fast a recipe is on this machine: measured on made-up frames, not guessed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from ..stream.clock import monotonic_s
from ..stream.model import Block
from .following import Follower
from .reduction import BlockReducer, Reduction


@dataclass(frozen=True)
class Speed:
    """What reducing costs on one core.

    Attributes
    ----------
    frame_ms : float
        Time a frame takes, its share of completing the block in it: median over blocks; or its share of following a
        time point, median over those.
    parts, frames : int
        How many blocks or time points were measured, and their frames.
    """

    frame_ms: float
    parts: int
    frames: int

    @property
    def rate_hz(self) -> float:
        """Frames a second of one core that does nothing else."""
        return 1000 / self.frame_ms


def measure_speed(reduction: Reduction, seconds: float = 2.0, clock: Callable[[], float] = monotonic_s) -> Speed:
    """Reduce whole blocks of made-up frames, in real buffers, for some time.

    What is not in it: receiving, compressing and writing.

    Parameters
    ----------
    reduction : Reduction
    seconds : float
        No further frame is begun after it; one frame at least is measured. What has to be compiled first, and one
        block that only warms the buffers, do not count.
    clock : callable
        Monotonic time, seconds.

    Returns
    -------
    Speed
    """
    reducer, frames = reduction.reducer(), made_up(reduction.plan.frame_shape)
    first = reduction.plan.blocks[0]
    _reduce(reducer, first, frames, lambda added: added >= 1)
    end = clock() + seconds
    costs: list[tuple[int, float]] = []
    full = (block for block in cycle(reduction.plan.blocks) if block.count == first.count)
    while not costs or clock() < end:
        began = clock()
        added = _reduce(reducer, next(full), frames, lambda added: added >= 1 and clock() >= end)
        costs.append((added, clock() - began))
    # A block that the end cut short pays for its completion with few frames: it counts only if there is no other.
    whole = [cost for cost in costs if cost[0] == first.count] or costs
    frame_s = statistics.median(took / added for added, took in whole)
    return Speed(1000 * max(frame_s, 1e-9), len(whole), sum(added for added, _ in whole))


def measure_following(
    reduction: Reduction, seconds: float = 1.0, clock: Callable[[], float] = monotonic_s
) -> Speed | None:
    """Follow a made-up run, with what it takes to follow, for some time.

    What is not in it: reading the committed images, and writing.

    Parameters
    ----------
    reduction : Reduction
    seconds, clock
        As for `measure_speed`; the first time point, which only warms the buffers, does not count.

    Returns
    -------
    Speed or None
        None if no step follows the run.
    """
    if not reduction.series:
        return None
    follower = Follower(reduction)
    level = next(product for product in reduction.products if product.path == follower.level)
    times, c, z, *size = level.shape
    frames = made_up((size[0], size[1]))
    images = np.stack([frames[k % len(frames)] for k in range(c * z)]).reshape(c, z, *size)
    present = np.ones((c, z), bool)
    follower.take(0, images, present)
    end = clock() + seconds
    costs: list[float] = []
    t = 1
    while not costs or clock() < end:
        if t >= times:
            follower, t = Follower(reduction), 0
        moved = np.roll(images, t, axis=3)
        began = clock()
        follower.take(t, moved, present)
        costs.append(clock() - began)
        t += 1
    return Speed(1000 * max(statistics.median(costs) / (c * z), 1e-9), len(costs), len(costs) * c * z)


def made_up(frame_shape: tuple[int, int], count: int = 4) -> list[NDArray[np.uint16]]:
    """Make frames that look like a camera's: noise on an offset of 100 counts, and a bright field in the middle."""
    height, width = frame_shape
    rng = np.random.default_rng(1)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    light = 400 * np.exp(-8 * (y * y + x * x)) + 20
    noise = rng.standard_normal((height, width), np.float32)
    return [
        np.clip(100 + light + np.sqrt(light) * np.roll(noise, 7 * k, axis=0), 0, 65535).astype(np.uint16)
        for k in range(count)
    ]


def _reduce(
    reducer: BlockReducer, block: Block, frames: Sequence[NDArray[np.uint16]], over: Callable[[int], bool]
) -> int:
    """Reduce a block, or as much of it as there is time for; give the number of frames."""
    reducer.begin(block)
    added = 0
    for number in block.frames:
        reducer.add(number, frames[number % len(frames)])
        added += 1
        if over(added):
            break
    reducer.finish()
    return added
