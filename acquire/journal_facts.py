"""What a spool knows besides its frames, and the lines that say it.

A line says a fact that stays true, so the lines may be repeated, in any order. Each checks itself, and a damaged line
costs that fact only.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import xxhash

from ..stream.ledger import joined
from ..stream.model import Loss
from ..stream.ranges import Ranges

#: A journal is read up to this size; a larger one is not ours.
MAX_BYTES = 64 * 2**20


@dataclass
class Facts:
    """What the lines of a journal say.

    Attributes
    ----------
    run, name, store : str
        What the tier called the run; empty before it did.
    finished : str or None
        Why capture ended; None before it did.
    losses : list of Loss
        Frames that will never be stored.
    kept, forgotten : list of (int, int)
        Spans of frames that became durable here, and of those that are durable at the tier since.
    damaged : int
        Lines that could not be read.
    """

    run: str = ""
    name: str = ""
    store: str = ""
    finished: str | None = None
    losses: list[Loss] = field(default_factory=list)
    kept: list[tuple[int, int]] = field(default_factory=list)
    forgotten: list[tuple[int, int]] = field(default_factory=list)
    damaged: int = 0

    def take(self, fact: Mapping[str, Any]) -> None:
        """Add the fact of one line.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is something else.
        """
        if "run" in fact:
            self.run, self.name, self.store = (str(fact[key]) for key in ("run", "name", "store"))
        elif "finished" in fact:
            self.finished = str(fact["finished"])
        elif "lost" in fact:
            self._lose(Loss(*_span(fact["lost"], fact["last"]), str(fact["where"]), str(fact["why"])))
        elif "kept" in fact:
            self.kept += [_span(*span) for span in fact["kept"]]
        else:
            self.forgotten += [_span(*span) for span in fact["forgotten"]]

    def _lose(self, loss: Loss) -> None:
        self.losses[-1:] = joined([*self.losses[-1:], loss])

    def compact(self) -> None:
        """Join the spans, of which there are then as many as there are gaps."""
        forgotten = Ranges.join(self.forgotten)
        self.forgotten = list(forgotten.spans)
        self.kept = list((Ranges.join(self.kept) - forgotten).spans)
        self.losses = list(joined(_disjoint(self.losses)))

    def lines(self) -> list[bytes]:
        """Give the facts as lines."""
        facts: list[dict[str, Any]] = [{"kept": self.kept}, {"forgotten": self.forgotten}]
        if self.run:
            facts.append({"run": self.run, "name": self.name, "store": self.store})
        if self.finished is not None:
            facts.append({"finished": self.finished})
        return [line_of(fact) for fact in facts] + [line_of(lost_fact(loss)) for loss in self.losses]


def read_facts(directory: Path) -> Facts:
    """Read all journals of a spool; what is damaged is skipped and counted.

    Raises
    ------
    OSError
        They cannot be read.
    """
    facts = Facts()
    for path in sorted(journals_of(directory)):
        for line in _read(path).split(b"\n"):
            if line:
                _read_line(line, facts)
    facts.compact()
    return facts


def line_of(fact: Mapping[str, Any]) -> bytes:
    """Give a line between two ends of line, so that damage to one of them does not reach the neighbour."""
    text = json.dumps(fact).encode()
    return b"\n%016x %s\n" % (xxhash.xxh3_64_intdigest(text), text)


def lost_fact(loss: Loss) -> dict[str, Any]:
    """Give a loss as a fact."""
    return {"lost": loss.first, "last": loss.last, "where": loss.where, "why": loss.why}


def _disjoint(losses: Iterable[Loss]) -> Iterator[Loss]:
    """Give losses in order, each frame once."""
    end = -1
    for loss in sorted(losses, key=lambda k: k.first):
        if loss.last > end:
            yield replace(loss, first=max(loss.first, end + 1))
            end = loss.last


def _read_line(line: bytes, facts: Facts) -> None:
    try:
        if int(line[:16], 16) != xxhash.xxh3_64_intdigest(line[17:]):
            raise ValueError("checksum")
        facts.take(json.loads(line[17:]))
    except (ValueError, KeyError, TypeError, RecursionError):
        facts.damaged += 1


def _span(first: Any, last: Any) -> tuple[int, int]:
    if type(first) is not int or type(last) is not int or not 0 <= first <= last:
        raise ValueError("a span is two whole numbers")
    return first, last


def journals_of(directory: Path) -> list[Path]:
    """Give the journals of a spool."""
    names = (p for p in directory.iterdir() if p.name.startswith("journal-"))
    return [p for p in names if p.name.removeprefix("journal-").isdecimal() and p.is_file()]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b"the disk cannot read it"
