"""acquire-zarr writing the raw frames, with or without its own pyramid."""

from __future__ import annotations

import os
from pathlib import Path

import acquire_zarr as aqz
import numpy as np

from ..sinks.layout import cut
from ..stream.model import Plan, Product
from .contestant import Task
from .measurement import Measurement
from .meter import Meter
from .workload import frame_numbers

#: Its pyramid ends where a side fits one chunk: for a square sensor this gives the sizes of octostream's levels.
PYRAMID_CHUNK = 256


def work(task: Task) -> Measurement:
    """Append frames until the time is over, then close.

    Option: ``pyramid``, whether it makes one.
    """
    bank, reduction = task.workload.bank(), task.workload.reduction(task.seconds)
    plan = reduction.plan
    target = task.folder / "acquire.zarr"
    array = array_settings(plan, len(reduction.lane.levels) if task.options["pyramid"] else 0)
    frames = 0
    with Meter({"process": [os.getpid()]}) as meter:
        stream = aqz.ZarrStream(aqz.StreamSettings(store_path=str(target), arrays=[array]))
        for number in frame_numbers(plan, task.seconds):
            stream.append(bank[number % len(bank)])
            frames += 1
        stream.close()
    return Measurement(
        frames=frames,
        seconds=meter.seconds,
        cpu_s=meter.cpu_s,
        peak_bytes=meter.peak_bytes - bank.nbytes,
        raw_bytes=frames * plan.frame_bytes,
        stored_bytes=_size(target),
    )


def array_settings(plan: Plan, levels: int) -> aqz.ArraySettings:
    """Cut the raw frames like octostream's ``raw/0``; with a pyramid, into chunks that let it have that many levels."""
    height, width = plan.frame_shape
    shard, chunk = cut(plan, Product("raw/0", "tczyx", plan.shape, "uint16", 1))
    frames, chunk_yx = shard[2], chunk[-2:]
    if levels:
        chunk_yx = (min(height, PYRAMID_CHUNK), min(width, PYRAMID_CHUNK))
    time, space = aqz.DimensionType.TIME, aqz.DimensionType.SPACE
    dimensions = [_dimension("t", time, 0, chunk[2], -(-frames // chunk[2]))]
    for name, size, part in zip("yx", (height, width), chunk_yx, strict=True):
        dimensions.append(_dimension(name, space, size, part, -(-size // part)))
    settings = aqz.ArraySettings(dimensions=dimensions, data_type=np.dtype(np.uint16), compression=_compression())
    if levels:
        settings.downsampling_method = aqz.DownsamplingMethod.MEAN
        settings.max_levels = levels
    return settings


def _dimension(name: str, kind: aqz.DimensionType, size: int, chunk: int, shard_chunks: int) -> aqz.Dimension:
    return aqz.Dimension(name=name, kind=kind, array_size_px=size, chunk_size_px=chunk, shard_size_chunks=shard_chunks)


def _compression() -> aqz.CompressionSettings:
    codec, bitshuffle = aqz.CompressionCodec.BLOSC_LZ4, 2
    return aqz.CompressionSettings(compressor=aqz.Compressor.BLOSC1, codec=codec, level=1, shuffle=bitshuffle)


def _size(store: Path) -> int:
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
