"""``octostream reduce``: the reductions of a recording, without a service."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ...stream.clock import monotonic_s
from ...stream.errors import OctostreamError
from ...stream.ledger import Ledger
from ..outcome import only_projections
from ..output import say_json
from ..progress import stages_progress
from .acquire import interrupt

if TYPE_CHECKING:
    from ..offline_store import OfflineStore

NAME = "reduce"

_COUNTS = ("frames_expected", "frames_stored", "frames_lost", "frames_projection_only")


@dataclass(frozen=True)
class _Asked:
    """What the command line asks for."""

    source: str
    out: Path
    recipe: str
    overrides: tuple[str, ...]
    axes: str | None
    keep_raw: bool
    workers: int


def command(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A TIFF, a folder of TIFFs, a Zarr, or a store with raw frames.")
    ],
    out: Annotated[Path, typer.Option(metavar="STORE", help="Where to put the result: NAME.ome.zarr.")],
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="Reductions.")] = "lightsheet",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="STEP.PARAM=VALUE", help="Change a parameter of the recipe.")
    ] = None,
    axes: Annotated[str | None, typer.Option(help="What the planes of a recording are, e.g. t or t=10,z=50.")] = None,
    keep_raw: Annotated[bool, typer.Option("--keep-raw", help="Store the frames as they came, too.")] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=256, help="Threads; one a core if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Reduce a recording; exit 0 only when the store is complete. After Ctrl-C or a kill, the same command goes on."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    asked = _Asked(source, out, recipe, tuple(set_ or ()), axes, keep_raw, workers or len(os.sched_getaffinity(0)))
    try:
        facts = _reduce(asked, console)
    except KeyboardInterrupt:
        raise OctostreamError("stopped by the operator", "the same command goes on with what is left") from None
    if as_json:
        say_json(facts)
    else:
        _print(console, facts)
    if facts["status"] != "complete":
        raise typer.Exit(1)


def _reduce(asked: _Asked, console: Console) -> dict[str, Any]:
    from ...kernels.recipe import Recipe  # late: the other commands need not load kernels and what writes stores
    from ...kernels.reduction import plan_reduction
    from ..offline import reduce_offline
    from ..offline_input import open_input
    from ..offline_store import open_store

    frames = open_input(asked.source, asked.axes)
    try:
        recipe, maps = Recipe.load(asked.recipe, asked.overrides).resolve(frames.plan.frame_shape)
        frames = replace(frames, plan=recipe.suited(frames.plan))
        reduction = plan_reduction(recipe, frames.plan, maps, keep_raw=asked.keep_raw)
        with open_store(asked.out, frames, reduction, maps, keep_raw=asked.keep_raw) as store:
            _announce(console, store)
            began, ledger = monotonic_s(), store.sealed
            if ledger is None:
                with stages_progress(console, ("reducing", "frames"), ("following", "time points")) as shows:
                    ledger = reduce_offline(frames, reduction, store, asked.workers, *shows)
            return _facts(store, ledger, monotonic_s() - began)
    finally:
        frames.close()


def _announce(console: Console, store: OfflineStore) -> None:
    run = store.keeper.run
    console.print(f"run        {run.id}\nstore      {run.store}", markup=False)
    if store.done and store.sealed is None:
        console.print(f"found      {len(store.done)} of {len(run.plan.blocks)} blocks are there from before")


def _facts(store: OfflineStore, ledger: Ledger, seconds: float) -> dict[str, Any]:
    run, blocks = store.keeper.run, store.keeper.run.plan.blocks
    frames = len(ledger.stored) - sum(blocks[number].count for number in store.done)
    told = ledger.to_json()
    return {
        "run": run.id,
        "name": run.name,
        "store": run.store,
        "status": ledger.status,
        **{key: told[key] for key in _COUNTS},
        "lost": told["lost"],
        "blocks": len(blocks),
        "blocks_found": len(store.done),
        "rate_hz": round(frames / seconds, 1) if frames > 0 and store.sealed is None else None,
    }


def _print(console: Console, facts: Mapping[str, Any]) -> None:
    style = "green" if facts["status"] == "complete" else "red"
    rate = f", {facts['rate_hz']} frames/s" if facts["rate_hz"] else ""
    console.print(
        f"[{style}]{facts['status']}[/]: {facts['frames_stored']} of {facts['frames_expected']} frames stored, "
        f"{facts['frames_lost']} lost{rate}{only_projections(facts['frames_projection_only'])}"
    )
    for loss in facts["lost"][:10]:
        console.print(f"lost       {loss['first']}–{loss['last']} at {loss['where']}: {loss['why']}", markup=False)
