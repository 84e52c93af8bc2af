"""Verifying a store: recompute what can be recomputed, name every missing or damaged frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..stream.errors import StoreError
from ..stream.ledger import Ledger, Status
from ..stream.model import Commit, Loss
from ..stream.ranges import Ranges
from .account import frames_of
from .arrays import context
from .commits import DamagedRecordError, read_commit, recorded_blocks
from .frames_table import FOLDER, frames_table, read_frames_table
from .growth import Growth, reach
from .layout import array_path, shard_file
from .recompute import as_text
from .runfile import StoredRun, read_run
from .sealfile import is_closed, read_sealed_ledger
from .verify_blocks import BlockVerifier
from .verify_metadata import check_arrays, check_groups

THREADS = 2
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VerifyReport:
    """What a verification found.

    Attributes
    ----------
    ok : bool
        No problem: everything that the ledger calls stored is there and right. A run with lost frames may be ok; see
        ``status`` and ``frames_lost``.
    status : str
        ``complete``, ``incomplete``, or ``recording`` where the run was never sealed.
    frames_expected, frames_stored, frames_lost : int
        By the commit records and the ledger.
    checks : tuple of str
        What was compared.
    losses : tuple of Loss
        Frames that the ledger calls lost, with where and why.
    problems : tuple of str
        One line each, naming frames or files.
    """

    ok: bool
    status: Status
    frames_expected: int
    frames_stored: int
    frames_lost: int
    checks: tuple[str, ...]
    losses: tuple[Loss, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON types."""
        return asdict(self)


def verify(store: Path, progress: Progress | None = None) -> VerifyReport:
    """Check a store against itself.

    Parameters
    ----------
    store : Path
        Any octostream store, sealed or not; it is only read.
    progress : callable, optional
        Called with (blocks done, blocks in all).

    Returns
    -------
    VerifyReport
        Damage is in the report, not raised.

    Raises
    ------
    StoreError
        There is no octostream store.
    """
    stored_run = read_run(store)
    problems: list[str] = []
    commits, damaged = _read_records(store, stored_run)
    problems += damaged
    ledger, unread = _read_ledger(store)
    problems += unread
    plan = stored_run.run.plan
    growth = Growth(plan)
    for commit in commits.values():
        growth.add(commit.block, reach(plan, (f.number for f in commit.frames)))
    sealed = ledger is not None or is_closed(store)
    checks = ["commit records", "array metadata", "group attributes"]
    problems += check_arrays(store, stored_run, growth.final if sealed else growth.visible, sealed=sealed)
    problems += check_groups(store, stored_run, ledger)
    checks += _block_checks(stored_run)
    problems += _check_blocks(store, stored_run, commits, sealed, progress or (lambda done, total: None))
    stored = frames_of(commits.values())
    if sealed:
        checks += ["files", "frames table", "ledger"]
        problems += _check_files(store, stored_run, commits)
        problems += _check_table(store, plan.frames, commits)
        problems += _check_ledger(plan.frames, stored, ledger) if ledger else ["the ledger is missing: seal the run"]
    return VerifyReport(
        ok=not problems,
        status=ledger.status if ledger else "recording",
        frames_expected=plan.frames,
        frames_stored=len(stored),
        frames_lost=len(ledger.lost) if ledger else 0,
        checks=tuple(checks),
        losses=ledger.losses if ledger else (),
        problems=tuple(dict.fromkeys(problems)),
    )


def _read_records(store: Path, stored_run: StoredRun) -> tuple[dict[int, Commit], list[str]]:
    blocks = stored_run.run.plan.blocks
    commits: dict[int, Commit] = {}
    problems: list[str] = []
    for number in recorded_blocks(store):
        if number >= len(blocks):
            problems.append(f"there is a commit record of block {number}, the plan has {len(blocks)} blocks")
            continue
        frames = blocks[number].frames
        try:
            commit = read_commit(store, number)
        except (DamagedRecordError, OSError):
            problems.append(f"the commit record of block {number} is damaged: {as_text(Ranges.of(frames))}")
            continue
        if any(f.number not in frames for f in commit.frames):
            problems.append(f"the commit record of block {number} names frames of another block")
            continue
        commits[number] = commit
    return commits, problems


def _read_ledger(store: Path) -> tuple[Ledger | None, list[str]]:
    try:
        return read_sealed_ledger(store), []
    except StoreError as cause:
        return None, [str(cause)]


def _block_checks(stored_run: StoredRun) -> list[str]:
    return [f"{array_path(p)} readable and right" for p in stored_run.products]


def _check_blocks(
    store: Path, stored_run: StoredRun, commits: dict[int, Commit], sealed: bool, progress: Progress
) -> Iterator[str]:
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
            yield from verifier.check(block, commits[number], current)
            stack = plan.blocks.of_stack(*block.origin[:2])
            if following is None or following not in stack:
                yield from verifier.check_stack(block, required=sealed)
            progress(k + 1, len(numbers))


def _check_files(store: Path, stored_run: StoredRun, commits: dict[int, Commit]) -> Iterator[str]:
    """Name files among the shards that no commit record accounts for."""
    plan = stored_run.run.plan
    for product in stored_run.products:
        expected = {shard_file(store, plan, product, plan.blocks[n]) for n in commits}
        for file in sorted((store / array_path(product) / "c").rglob("*")):
            if file.is_file() and file not in expected:
                yield f"{file.relative_to(store)} belongs to no commit record"


def _check_table(store: Path, expected: int, commits: dict[int, Commit]) -> Iterator[str]:
    try:
        found = read_frames_table(store)
    except StoreError as cause:
        yield str(cause)
        return
    for name, column in frames_table(expected, commits.values()).items():
        if found[name].shape != column.shape:
            yield f"{FOLDER}/{name} has {found[name].size} rows for {expected} frames"
            continue
        bad = Ranges.of(int(n) for n in np.flatnonzero(found[name] != column))
        if bad.spans:
            yield f"{FOLDER}/{name}: not what the commit records say for {as_text(bad)}"


def _check_ledger(expected: int, stored: Ranges, ledger: Ledger) -> Iterator[str]:
    if ledger.expected != expected:
        yield f"the ledger expects {ledger.expected} frames, the plan {expected}"
    for frames, what in (
        (ledger.stored - stored, "stored in the ledger, but in no commit record"),
        (stored - ledger.stored, "in a commit record, but not stored in the ledger"),
        (ledger.unknown, "neither stored nor lost in the ledger"),
    ):
        if frames.spans:
            yield f"{as_text(frames)}: {what}"
