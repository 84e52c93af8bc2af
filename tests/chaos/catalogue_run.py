"""Runs that are written to the outbox as the head does, and what ICAT must have of them in the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from octostream.sinks.catalogue.facts import RunFacts
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.registry import Registry
from octostream.tests.icat_server.seed import PROPOSAL, VISITS

from ..sinks.catalogue.facts import SECOND, facts_of, report_of

#: What may become of a run, and how often.
LIVES = {("opened", "sealed"): 5, ("opened", "grown", "sealed"): 4, ("opened", "failed"): 3, ("opened", "removed"): 1,
         ("opened", "grown", "failed", "grown", "sealed"): 2}  # fmt: skip


class Life:
    """One run, step by step."""

    def __init__(self, n: int, chance: random.Random):
        self.n = n
        self.kinds = chance.choices([*LIVES], [*LIVES.values()])[0]
        self.facts = facts_of(
            n, investigation=PROPOSAL, visit=chance.choice([*VISITS]), instrument="", keep_raw=chance.random() < 0.5,
            reason="", location=f"{PROPOSAL}/run{n}.ome.zarr", store=f"/nowhere/run{n}.ome.zarr",
        )  # fmt: skip

    def write(self, registry: Registry) -> Iterator[None]:
        """Write one step after the other."""
        registry.add(report_of(self.n))
        for step, kind in enumerate(self.kinds):
            if kind == "removed":
                registry.remove(self.facts.run)
            else:
                self.facts = self._after(kind, step)
                status = {"sealed": "complete", "failed": "incomplete"}.get(kind, "recording")
                registry.update(report_of(self.n, status=status), [Intent(kind, self.facts)])
            yield

    def _after(self, kind: str, step: int) -> RunFacts:
        lost = 2 if kind == "failed" else 0
        over = kind in ("sealed", "failed")
        ended = self.facts.opened_ns + step * SECOND
        return replace(
            self.facts, stored={"opened": 0, "sealed": 6}.get(kind, 4), lost=lost, ended_ns=ended if over else 0,
            last_frame_ns=ended, reason="the camera's cable" if lost else "",
        )  # fmt: skip

    def expected(self) -> dict[str, tuple]:
        """Give what ICAT must have: by dataset, whether complete, status, frames stored and lost, and the visit."""
        if self.kinds[-1] == "removed":
            return {}
        complete, facts = self.kinds[-1] == "sealed", self.facts
        row = (complete, "complete" if complete else "incomplete", facts.stored, facts.lost, facts.visit, 1)
        parts = {"reduced": facts.name, "raw": facts.name + " raw"}
        return {
            name: (f"{facts.uuid}:{part}", *row) for part, name in parts.items() if part == "reduced" or facts.keep_raw
        }


def registered(client) -> tuple[dict[str, tuple], Counter]:
    """Give what ICAT has, as `Life.expected`, and how many times each name is there."""
    found, names = {}, Counter()
    query = "SELECT o FROM Dataset o INCLUDE o.investigation, o.datafiles, o.parameters AS p, p.type"
    for o in client.searchChunked(query, chunksize=50):
        values = {p.type.name: p.stringValue if p.numericValue is None else p.numericValue for p in o.parameters}
        names[o.name] += 1
        found[o.name] = (
            values["registration_uuid"], o.complete, values["run_status"], values["frames_stored"],
            values["frames_lost"], o.investigation.visitId, len(o.datafiles),
        )  # fmt: skip
    return found, names


def provenance(client) -> Counter:
    """Give how many jobs there are, by what went in and what came out."""
    jobs = client.search(
        "SELECT j FROM Job j INCLUDE j.inputDataCollection AS i, i.dataCollectionDatasets AS il, il.dataset AS ids,"
        " j.outputDataCollection AS o, o.dataCollectionDatasets AS ol, ol.dataset"
    )
    return Counter((_names(job.inputDataCollection), _names(job.outputDataCollection)) for job in jobs)


def expected_provenance(lives: list[Life]) -> Counter:
    """Give the jobs that there must be: one for each run that is over."""
    over = [life.facts for life in lives if life.expected()]
    return Counter(((f.name + " raw",) if f.keep_raw else (), (f.name,)) for f in over)


def _names(collection) -> tuple[str, ...]:
    return tuple(link.dataset.name for link in collection.dataCollectionDatasets) if collection else ()
