"""What ``octostream recipes check`` says of a recipe: what it makes of a plan, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..kernels.lane_report import lane_report
from ..kernels.lane_steps import LANE
from ..kernels.reduction import Reduction
from ..kernels.speed import Speed
from ..kernels.steps import find_step
from ..sinks.disk import readable
from ..sinks.layout import whole_bytes


def recipe_facts(reduction: Reduction, speed: Speed, following: Speed | None) -> dict[str, Any]:
    """Give everything as plain data.

    Parameters
    ----------
    reduction : Reduction
    speed, following : Speed
        Measured with it: of reducing, and of following the run if any step does.

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
            "bytes": whole_bytes(product),
            "written": product.stage,
        }
        for product in reduction.products
    ]
    written = sum(product["bytes"] for product in products if product["written"] == "block")
    moved = lane_report(reduction.lane)
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
        "pass_bytes": {"read": moved.read_bytes, "written": moved.written_bytes},
        "measured": _measured(speed),
        "measured_following": None if following is None else _measured(following),
    }


def _measured(speed: Speed) -> dict[str, float]:
    return {"frame_ms": speed.frame_ms, "rate_hz": speed.rate_hz, "parts": speed.parts, "frames": speed.frames}


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
    moved = facts["pass_bytes"]
    read, made = readable(moved["read"]), readable(moved["written"])
    yield f"memory     {read} read, {made} written a frame by the pass (computed)"
    here = f"measured here now, median of {measured['parts']} blocks"
    yield f"speed      {_speed(measured)} on one core, without writing ({here})"
    cost_ms = measured["frame_ms"]
    if follows := facts["measured_following"]:
        cost_ms += follows["frame_ms"]
        yield f"following  {_speed(follows)} on one core (measured here now, median of {follows['parts']} time points)"
    if plan["rate_hz"] is not None:
        cores = plan["rate_hz"] * cost_ms / 1000
        yield f"at {plan['rate_hz']:g} Hz  {cores:.0%} of a core, without reading and writing (computed from that)"


def _speed(measured: Mapping[str, Any]) -> str:
    return f"{measured['rate_hz']:.0f} frames/s, {measured['frame_ms']:.2f} ms a frame"


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
