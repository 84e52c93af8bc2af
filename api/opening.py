"""What the head checks before it opens a run: names, metadata, recipe, maps, space."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.recipe import Recipe
from ..kernels.reduction import Reduction, plan_reduction
from ..sinks.disk import check_space
from ..sinks.layout import whole_bytes
from ..sinks.names import store_path
from ..stream import messages as m
from ..stream.clock import wall_ns
from ..stream.errors import UsageError
from ..stream.model import Run
from .described import Techniques

#: Lossless compression of real sCMOS frames gains at least this much; the space that a run needs is judged by it.
LEAST_COMPRESSION = 1.4


@dataclass(frozen=True)
class Request:
    """A run that may be opened.

    Attributes
    ----------
    run : Run
        With id, name and path.
    reduction : Reduction
        Its recipe made ready.
    maps : mapping
        Calibration arrays by key.
    """

    run: Run
    reduction: Reduction
    maps: Mapping[str, NDArray[Any]]


def check_opening(
    opening: m.Open, data: Path, reserve_bytes: int, instrument: str = "", techniques: Techniques | None = None
) -> Request:
    """Check everything about a run that can be known before its first frame.

    Parameters
    ----------
    opening : Open
        What is asked for.
    data : Path
        Directory of the stores.
    reserve_bytes : int
        Disk that is never filled.
    instrument : str
        Whose key asks; empty where the tier uses none.
    techniques : Techniques, optional
        Those of the tier; the built-in ones if not given.

    Raises
    ------
    OctostreamError
        Saying what is wrong and what to do.
    """
    opened_ns = wall_ns()
    run_id = time.strftime("%Y%m%d-%H%M%S", time.gmtime(opened_ns // 10**9)) + "-" + secrets.token_hex(3)
    name = opening.name or run_id
    store = store_path(data, opening.investigation, name, opening.visit)
    technique, metadata = (techniques or Techniques()).describe(opening.technique, opening.plan.metadata)
    plan = replace(opening.plan, metadata=metadata)
    recipe = Recipe.from_json(opening.recipe) if opening.recipe else Recipe.load("lightsheet")
    maps = read_maps(opening)
    reduction = plan_reduction(recipe, plan, maps, keep_raw=opening.keep_raw)
    need = sum(map(whole_bytes, reduction.products))
    check_space(data, int(need / LEAST_COMPRESSION), reserve_bytes)
    run = Run(
        id=run_id,
        name=name,
        investigation=opening.investigation,
        plan=plan,
        recipe=recipe.to_json(),
        store=str(store),
        keep_raw=opening.keep_raw,
        opened_ns=opened_ns,
        instrument=instrument,
        visit=opening.visit,
        technique=technique,
    )
    return Request(run, reduction, maps)


def read_maps(opening: m.Open) -> dict[str, NDArray[Any]]:
    """Take the calibration arrays out of an OPEN's payload.

    Raises
    ------
    UsageError
        They are of another kind than a map may be, or the payload has another size than they say.
    """
    payload = memoryview(opening.payload)
    maps: dict[str, NDArray[Any]] = {}
    at = 0
    for key, dtype, shape in opening.maps:
        if len(shape) != 2 or 0 in shape:
            raise UsageError(f"map {key} has the shape {str(shape)[:60]}", "send a map (y, x)")
        if dtype not in ("<f4", "<f8", "<u2", "<i4"):
            raise UsageError(f"map {key} is of type {dtype[:20]!r}", "send float32, float64, uint16 or int32")
        nbytes = np.dtype(dtype).itemsize * math.prod(shape)
        if at + nbytes > payload.nbytes:
            raise UsageError(f"map {key} says {nbytes} bytes, the message has fewer", "send what the header says")
        maps[key] = np.frombuffer(payload[at : at + nbytes], dtype).reshape(shape)
        at += nbytes
    if at != payload.nbytes:
        raise UsageError(f"the message has {payload.nbytes - at} bytes more than its maps", "send what the header says")
    return maps
