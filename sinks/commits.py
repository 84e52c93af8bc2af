"""Commit records: one small checked file a block. They, and nothing else, say what is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from ..stream.errors import StoreError
from ..stream.model import Commit, Frame, FrameStats
from ..stream.ranges import Ranges
from .checked import digest
from .durable import sync, write_durably
from .layout import commits_folder
from .rows import rows_from_json, rows_to_json

_RECORD = re.compile(r"([0-9]{8})\.json")


class DamagedRecordError(StoreError):
    """A commit record is not what was written."""


def record_file(store: Path, block: int) -> Path:
    """Give the path of a block's commit record."""
    return commits_folder(store) / f"{block:08d}.json"


def write_commit(store: Path, commit: Commit) -> None:
    """Make a commit record durable.

    Raises
    ------
    OSError
        As the system says; there is then no record, or the old one.
    """
    write_durably(record_file(store, commit.block), commit_to_bytes(commit))


def read_commit(store: Path, block: int) -> Commit:
    """Read a block's commit record.

    Raises
    ------
    FileNotFoundError
        The block is not committed.
    DamagedRecordError
        The record is not what was written.
    """
    file = record_file(store, block)
    return commit_from_bytes(file.read_bytes(), block, str(file))


def settle(store: Path) -> None:
    """Make durable what records there are: a process that was killed may not have come to sync their names.

    To be called before records that this process did not write are taken for acknowledgements.

    Raises
    ------
    OSError
        As the system says; a power cut may take the newest records away.
    """
    sync(commits_folder(store))


def recorded_blocks(store: Path) -> list[int]:
    """Give the numbers of the blocks that have a commit record, sorted, without reading them."""
    found = (_RECORD.fullmatch(file.name) for file in commits_folder(store).glob("*.json"))
    return sorted(int(name[1]) for name in found if name)


def intact_commits(store: Path) -> Iterator[Commit]:
    """Go through the commit records in order of blocks; a damaged one commits nothing, so it is left out."""
    for block in recorded_blocks(store):
        try:
            yield read_commit(store, block)
        except DamagedRecordError:
            continue


def commit_to_bytes(commit: Commit) -> bytes:
    """Give the content of a commit record: columns by frame, and a checksum of it all.

    Frame checksums are hexadecimal because JSON numbers above 2**53 are not exact in every language.
    """
    record = {
        "version": 2,
        "block": commit.block,
        "worker": commit.worker,
        "device": commit.device,
        "committed_ns": commit.committed_ns,
        "raw_bytes": commit.raw_bytes,
        "stored_bytes": commit.stored_bytes,
        "products": list(commit.products),
        "frames": {
            "number": [f.number for f in commit.frames],
            "timestamp_ns": [f.timestamp_ns for f in commit.frames],
            "checksum": [f"{f.checksum:016x}" for f in commit.frames],
            "min": [s.min for s in commit.stats],
            "max": [s.max for s in commit.stats],
            "mean": [s.mean for s in commit.stats],
            "saturated": [s.saturated for s in commit.stats],
        },
        "tables": {name: rows_to_json(rows) for name, rows in commit.tables.items()},
        "left_out": {path: chunks.spans for path, chunks in commit.left_out.items()},
    }
    return json.dumps({"record": record, "xxh3_64": digest(record)}).encode() + b"\n"


def commit_from_bytes(data: bytes, block: int, place: str) -> Commit:
    """Read what `commit_to_bytes` gave.

    Raises
    ------
    DamagedRecordError
        It is not what was written, or belongs to another block; named by ``place``.
    """
    try:
        content = json.loads(data)
        record = content["record"]
        if content["xxh3_64"] != digest(record) or record["block"] != block:
            raise ValueError("checksum")
        frames = record["frames"]
        return Commit(
            block=block,
            frames=tuple(
                Frame(n, t, int(c, 16))
                for n, t, c in zip(frames["number"], frames["timestamp_ns"], frames["checksum"], strict=True)
            ),
            stats=tuple(
                FrameStats(*s)
                for s in zip(frames["min"], frames["max"], frames["mean"], frames["saturated"], strict=True)
            ),
            worker=record["worker"],
            committed_ns=record["committed_ns"],
            raw_bytes=record["raw_bytes"],
            stored_bytes=record["stored_bytes"],
            products=tuple(record["products"]),
            tables={name: rows_from_json(rows) for name, rows in record["tables"].items()},
            # Records of a time when nothing was left out do not say so, nor what they were reduced on.
            left_out={path: Ranges.join(map(tuple, spans)) for path, spans in record.get("left_out", {}).items()},
            device=record.get("device", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise DamagedRecordError(f"commit record {place} is damaged", "run octostream verify on the store") from cause
