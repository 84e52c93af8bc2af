"""What ``octostream recipes check`` says of a recipe: what it makes of a plan, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..kernels.lane_steps import LANE
from ..kernels.reduction import Reduction
from ..kernels.speed import Speed
from ..kernels.steps import find_step
from ..sinks.disk import readable


def recipe_facts(reduction: Reduction, speed: Speed) -> dict[str, Any]:
    """Give everything as plain data.

    Parameters
    ----------
    reduction : Reduction
    speed : Speed
        Measured with it.

    Returns
    -------
    dict
        JSON types; sizes in bytes, times in milliseconds.
    """
    plan, steps = reduction.plan, reduction.recipe.steps
    fused = {step.name for step in LANE}
    beside = [name for name in steps if name not in fused]
    follows = [name for name in beside if find_step(name).kind == "derived"]
    products = [
        {
            "path": product.path,
            "axes": product.axes,
            "shape": list(product.shape),
            "dtype": product.dtype,
            "bytes": math.prod(product.shape) * np.dtype(product.dtype).itemsize,
            "written": product.stage,
        }
        for product in reduction.products
    ]
    written = sum(product["bytes"] for product in products if product["written"] == "block")
    return {
        "recipe": reduction.recipe.name,
        "plan": {
            "shape": list(plan.shape),
            "rate_hz": plan.rate_hz,
            "frames": plan.frames,
            "frame_bytes": plan.frame_bytes,
            "blocks": len(plan.blocks),
            "block_frames": plan.blocks[0].count,
        },
        "one_pass": [name for name in steps if name in fused],
        "beside": [name for name in beside if name not in follows],
        "follows": follows,
        "products": products,
        "tables": [{"name": t.name, "columns": [c.name for c in t.columns]} for t in reduction.tables],
        "per_frame": {"read_bytes": plan.frame_bytes, "written_bytes": round(written / plan.frames)},
        "measured": {
            "frame_ms": speed.frame_ms,
            "rate_hz": speed.rate_hz,
            "blocks": speed.blocks,
            "frames": speed.frames,
        },
    }


def recipe_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Give the same for people, a line at a time."""
    plan, measured = facts["plan"], facts["measured"]
    t, c, z, y, x = plan["shape"]
    yield f"recipe     {facts['recipe']}"
    yield f"frames     {plan['frames']} of {y}x{x}, {readable(plan['frame_bytes'])} each; t {t}, c {c}, z {z}"
    yield f"blocks     {plan['blocks']}, of {plan['block_frames']} frames at most"
    yield f"one pass   {_named(facts['one_pass'])}"
    yield f"beside it  {_named(facts['beside'])}"
    yield f"follows    {_named(facts['follows'])}"
    yield from _products(facts["products"])
    for table in facts["tables"]:
        yield f"table      {table['name']}: {', '.join(table['columns'])}"
    moved = facts["per_frame"]
    yield (
        f"a frame    {readable(moved['read_bytes'])} read, {readable(moved['written_bytes'])} made, "
        "before compression (computed)"
    )
    rate = f"{measured['rate_hz']:.0f} frames/s, {measured['frame_ms']:.2f} ms a frame"
    yield f"speed      {rate} on one core, without writing (measured here now, median of {measured['blocks']} blocks)"
    if plan["rate_hz"] is not None:
        share = plan["rate_hz"] / measured["rate_hz"]
        cores = f"{share:.0%} of a core" if share <= 1 else f"{math.ceil(share)} workers at least"
        yield f"at {plan['rate_hz']:g} Hz  {cores}, without writing (computed from that)"


def _products(products: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [product["path"] for product in products]
    width = max(map(len, names))
    for product in products:
        shape = "x".join(map(str, product["shape"]))
        size = f"{product['dtype']}  {readable(product['bytes'])}"
        later = "" if product["written"] == "block" else ", after the blocks"
        yield f"product    {product['path'].ljust(width)}  {product['axes']} {shape}  {size}{later}"


def _named(steps: Sequence[str]) -> str:
    return ", ".join(steps) or "nothing"
