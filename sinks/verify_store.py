"""Looking through a whole store: records, metadata, pixels, table and ledger, compared with one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..stream.errors import StoreError
from ..stream.ledger import Ledger
from ..stream.model import Block, Commit
from ..stream.ranges import Ranges
from .account import account, frames_of, projection_only
from .arrays import context
from .commits import DamagedRecordError, read_commit, record_file, recorded_blocks
from .derivation import Derivation
from .failure import refuse_blame
from .frames_table import FOLDER, frames_table, read_frames_table
from .growth import Extent, Growth, reach
from .layout import array_path, merges, of_stage, shard_file
from .leftovers import merged_parts, strays, unfinished_files
from .ngff import Window
from .problem import Problem
from .recompute import as_text
from .runfile import StoredRun
from .sealfile import is_closed, ledger_file, read_sealed_ledger, salvage_ledger
from .tables import not_derived
from .verify_blocks import BlockVerifier
from .verify_metadata import check_arrays, check_groups, check_maps, check_table
from .verify_tables import check_tables
from .windows import read_windows

THREADS = 2
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Findings:
    """What a store holds, and what is wrong with it.

    Attributes
    ----------
    commits : mapping of int to Commit
        By block, those whose records are whole and belong to the plan.
    damaged : mapping of int to Problem
        By block, records that are there and cannot be trusted.
    ledger : Ledger or None
        Of a sealed run.
    checks : tuple of str
        What was compared.
    problems : tuple of Problem
        In the order in which they were found.
    """

    commits: Mapping[int, Commit]
    damaged: Mapping[int, Problem]
    ledger: Ledger | None
    checks: tuple[str, ...]
    problems: tuple[Problem, ...]


def examine(store: Path, stored_run: StoredRun, progress: Progress | None = None, *, over: bool = False) -> Findings:
    """Look through a store; it is only read.

    Parameters
    ----------
    store, stored_run : Path, StoredRun
        What to look at.
    progress : callable, optional
        Called with (blocks done, blocks in all).
    over : bool
        Judge the store as that of a finished run even if it was never sealed.

    Raises
    ------
    StoreError
        The system does not let it be read.
    """
    plan = stored_run.run.plan
    commits, damaged = read_records(store, stored_run)
    problems = list(damaged.values())
    ledger, unread = _read_ledger(store)
    problems += unread
    growth = Growth(plan)
    for commit in commits.values():
        growth.add(commit.block, reach(plan, (f.number for f in commit.frames)))
    sealed = over or ledger is not None or is_closed(store)
    checks = ["commit records", "calibration maps", "array metadata", "group attributes"]
    problems += check_maps(store, stored_run)
    derivation = Derivation(store, plan, stored_run.products)
    shapes = derivation.shapes(growth, growth.final, over=sealed)
    problems += check_arrays(store, stored_run, shapes, sealed=sealed)
    checks += [f"{array_path(p)} readable and right" for p in stored_run.products]
    # A run whose agent was taken for gone may be opened again; then stacks go on that were not whole.
    goes_on = not sealed or (ledger is not None and any(k.where == "agent" for k in ledger.losses))
    show = progress or (lambda done, total: None)
    problems += _check_blocks(store, stored_run, commits, sealed=sealed, goes_on=goes_on, progress=show)
    windows = _windows(store, stored_run, growth, growth.final) if sealed else None
    shown = ledger or (account(plan, frames_of(commits.values())) if sealed else None)
    missing = [*derivation.missing(growth, growth.final), *not_derived(store, stored_run.tables)] if shown else []
    problems += check_groups(store, stored_run, shown, windows, missing)
    if sealed:
        checks += ["files", "frames table", *(f"table {t.name}" for t in stored_run.tables), "ledger"]
        problems += _check_files(store, stored_run, commits, goes_on=goes_on)
        problems += _check_table(store, plan.frames, commits)
        problems += check_tables(store, stored_run.tables, commits)
        skipped = projection_only(plan, stored_run.tables, commits.values())
        problems += _check_ledger(store, plan.frames, frames_of(commits.values()), skipped, ledger)
    return Findings(commits, damaged, ledger, tuple(checks), tuple(problems))


def read_records(store: Path, stored_run: StoredRun) -> tuple[dict[int, Commit], dict[int, Problem]]:
    """Read all commit records: the good ones, and what is wrong with the others, by block.

    Raises
    ------
    StoreError
        The system does not let one be read.
    """
    blocks = stored_run.run.plan.blocks
    commits: dict[int, Commit] = {}
    damaged: dict[int, Problem] = {}
    for number in recorded_blocks(store):
        name = record_file(store, number).relative_to(store).as_posix()
        if number >= len(blocks):
            text = f"there is a commit record of block {number}, the plan has {len(blocks)} blocks"
            damaged[number] = Problem(text, file=name)
            continue
        frames = blocks[number].frames
        try:
            commit = read_commit(store, number)
        except (DamagedRecordError, OSError) as cause:
            refuse_blame(cause, f"read {record_file(store, number)}")
            text = f"the commit record of block {number} is damaged: {as_text(Ranges.of(frames))}"
            damaged[number] = Problem(text, file=name)
            continue
        if any(f.number not in frames for f in commit.frames):
            damaged[number] = Problem(f"the commit record of block {number} names frames of another block", file=name)
            continue
        commits[number] = commit
    return commits, damaged


def _read_ledger(store: Path) -> tuple[Ledger | None, list[Problem]]:
    name = ledger_file(store).relative_to(store).as_posix()
    try:
        return read_sealed_ledger(store), []
    except StoreError as cause:
        refuse_blame(cause.__cause__ or cause, f"read {ledger_file(store)}")
        return salvage_ledger(store), [Problem(str(cause), file=name)]


def _check_blocks(
    store: Path, stored_run: StoredRun, commits: dict[int, Commit], *, sealed: bool, goes_on: bool, progress: Progress
) -> Iterator[Problem]:
    plan = stored_run.run.plan
    numbers = sorted(commits)
    with ThreadPoolExecutor(THREADS) as pool:
        verifier = BlockVerifier(store, plan, stored_run.products, context(THREADS), pool)
        requests = verifier.request(plan.blocks[numbers[0]]) if numbers else {}
        for k, number in enumerate(numbers):
            current = requests
            following = numbers[k + 1] if k + 1 < len(numbers) else None
            requests = {} if following is None else verifier.request(plan.blocks[following])
            block = plan.blocks[number]
            stack = plan.blocks.of_stack(*block.origin[:2])
            whole = all(n in commits for n in stack)
            waits = goes_on if not whole else not sealed and not _merged(store, stored_run, block)
            yield from verifier.check(block, commits[number], current, waits=waits)
            if following is None or following not in stack:
                yield from verifier.check_stack(block, required=sealed)
            progress(k + 1, len(numbers))
        yield from verifier.check_run()


def _windows(store: Path, stored_run: StoredRun, growth: Growth, extent: Extent) -> dict[int, Window] | None:
    """Give the ranges that viewers are to show first; None where pixels are damaged, which is told elsewhere."""
    try:
        found = read_windows(store, stored_run.run.plan, stored_run.products, growth, extent, context(1))
    except StoreError:
        return None
    windows = {c: window for c, window in found.items() if window is not None}
    return windows if windows.keys() == found.keys() else None


def _merged(store: Path, stored_run: StoredRun, block: Block) -> bool:
    plan = stored_run.run.plan
    folded = [p for p in of_stage(stored_run.products, "block") if merges(plan, p)]
    return all(shard_file(store, plan, p, block).exists() for p in folded)


def _check_files(store: Path, stored_run: StoredRun, commits: dict[int, Commit], *, goes_on: bool) -> Iterator[Problem]:
    """Name files that no commit record accounts for, and those that were never finished."""
    for file in strays(store, stored_run, commits):
        yield Problem(f"{file.relative_to(store)} belongs to no commit record")
    for file in unfinished_files(store, stored_run.products):
        yield Problem(f"{file.relative_to(store)} was never finished")
    for file in merged_parts(store, stored_run.run.plan, stored_run.products, commits, goes_on=goes_on):
        yield Problem(f"{file.relative_to(store)} waits for nothing any more")


def _check_table(store: Path, expected: int, commits: dict[int, Commit]) -> Iterator[Problem]:
    wrong = list(check_table(store, expected))
    if wrong:
        yield from wrong
        return
    try:
        found = read_frames_table(store)
    except StoreError as cause:
        yield Problem(str(cause))
        return
    for name, column in frames_table(expected, commits.values()).items():
        bad = Ranges.of(int(n) for n in np.flatnonzero(found[name] != column))
        if bad.spans:
            yield Problem(f"{FOLDER}/{name}: not what the commit records say for {as_text(bad)}")


def _check_ledger(
    store: Path, expected: int, stored: Ranges, skipped: Ranges, ledger: Ledger | None
) -> Iterator[Problem]:
    if ledger is None:
        if not ledger_file(store).exists():
            yield Problem("the ledger is missing: seal the run")
        return
    if not is_closed(store):
        yield Problem("the mark is missing that closes the store to writers")
    if ledger.expected != expected:
        yield Problem(f"the ledger expects {ledger.expected} frames, the plan {expected}")
    for frames, what in (
        (ledger.stored - stored, "stored in the ledger, but in no commit record"),
        (stored - ledger.stored, "in a commit record, but not stored in the ledger"),
        (ledger.unknown, "neither stored nor lost in the ledger"),
        (ledger.projection_only - skipped, "projections only in the ledger, but not in a commit record"),
        (skipped - ledger.projection_only, "projections only in a commit record, but not in the ledger"),
    ):
        if frames.spans:
            yield Problem(f"{as_text(frames)}: {what}")
