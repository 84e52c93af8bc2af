"""Runs as icatdata XML, read by python-icat's own ``icatingest`` into a fresh stand-in, and compared."""

import subprocess
import sys
from pathlib import Path

import pytest
from octostream.sinks.catalogue.export import Exported, icatdata
from octostream.sinks.catalogue.failures import ParkedError
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.inventory import take_inventory
from octostream.sinks.catalogue.lookup import Lookup
from octostream.sinks.catalogue.needs import needs
from octostream.sinks.catalogue.parameters import kinds_of
from octostream.sinks.catalogue.registration import Registration
from octostream.sinks.catalogue.template_file import read_template
from octostream.tests.icat_server.seed import FACILITY, PASSWORDS, PROPOSAL

from .facts import OPENED, SECOND, facts_of

INGEST = Path(sys.executable).parent / "icatingest.py"
HERE = {"investigation": PROPOSAL, "visit": "1", "instrument": "", "technique": "SPIM", "technique_pid": "x"}
HOSTILE = "O'Brien's \"fish\" <&amp; &> \\ ' OR '1'='1 漢 🔬"


def run(n, status="complete", **changes):
    end = OPENED + (9 + n) * SECOND
    told = {"stored": 6, "last_frame_ns": end, "ended_ns": end, **HERE, **changes}
    facts = facts_of(n, **told)
    return Exported(facts, status, take_inventory(Path(facts.store)))


@pytest.fixture
def runs(tmp_path):
    store = tmp_path / "run0.ome.zarr"
    for name in ("raw/0/c/0", "raw/0/c/1", "0/zarr.json", ".octostream/ledger.json"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(name.encode())
    return [
        run(0, store=str(store), sample=HOSTILE),
        run(1, "incomplete", reason=HOSTILE, lost=1, keep_raw=False, source=HOSTILE),
        run(2, "recording", ended_ns=0, stored=0, keep_raw=False),
    ]


def tell(value):
    return value.isoformat() if hasattr(value, "isoformat") else value if value is None else str(value)


def seen(client):
    """Give all that is said of the datasets, without the ids that a server gives."""
    found = client.search(
        "SELECT o FROM Dataset o ORDER BY o.name INCLUDE o.investigation, o.type, o.sample, o.parameters AS p, p.type,"
        " o.datafiles AS f, f.datafileFormat, o.datasetInstruments AS di, di.instrument,"
        " o.datasetTechniques AS dt, dt.technique"
    )
    jobs = client.search(
        "SELECT j FROM Job j INCLUDE j.application, j.inputDataCollection AS i, i.parameters,"
        " i.dataCollectionDatasets AS id, id.dataset, j.outputDataCollection AS u, u.parameters,"
        " u.dataCollectionDatasets AS ud, ud.dataset"
    )
    datasets = [
        (
            *(tell(getattr(o, a)) for a in sorted(o.InstAttr) if a != "id"),
            (o.investigation.name, o.investigation.visitId, o.type.name, o.sample and o.sample.name),
            sorted((p.type.name, p.type.units, tell(p.stringValue), tell(p.numericValue)) for p in o.parameters),
            sorted(
                (*(tell(getattr(f, a)) for a in sorted(f.InstAttr) if a != "id"), f.datafileFormat.name)
                for f in o.datafiles
            ),
            [link.instrument.name for link in o.datasetInstruments],
            [link.technique.name for link in o.datasetTechniques],
        )
        for o in found
    ]
    return datasets, sorted(map(str, map(job_facts, jobs)))


def job_facts(job):
    ends = [
        c and ([p.stringValue for p in c.parameters], [link.dataset.name for link in c.dataCollectionDatasets])
        for c in (job.inputDataCollection, job.outputDataCollection)
    ]
    return str(job.arguments), job.application.version, ends


def ingest(url, file, *more):
    command = [INGEST, "-w", url, "-a", "simple", "-u", "root", "-p", PASSWORDS["root"], "-f", "XML", "-i", file, *more]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


@pytest.mark.parametrize("raw_shards", [False, True])
def test_what_is_ingested_is_what_would_have_been_registered(
    runs, raw_shards, settings, icat_client, icat_server, tmp_path
):
    settings = settings.model_copy(update={"raw_shards": raw_shards})
    client = icat_client("root")
    lookup = Lookup(client, FACILITY)
    template = read_template("lightsheet")
    for thing in needs(settings, "0.1.0", [template]):
        lookup.create(thing)
    registration = Registration(client, settings)
    for exported, kind in zip(runs, ("sealed", "failed", "grown"), strict=True):
        registration.deliver(Intent(kind, exported.facts))
    registered = seen(client)
    assert len(registered[0]) == 4
    file = tmp_path / "runs.xml"
    file.write_bytes(b"".join(icatdata(settings, runs, kinds_of(template))))
    icat_server.reset()
    ingest(icat_server.url, file, "--duplicate", "IGNORE")
    assert seen(icat_client("root")) == registered


def test_types_are_those_that_the_runs_refer_to_whatever_is_so_today(settings, icat_client, icat_server, tmp_path):
    """They were made by two versions, on an instrument with a key, under a template that has changed since."""
    dose = ("dose", "Gy", 2.5)
    runs = [
        run(0, instrument="lightsheet-7", keep_raw=False, software="0.1.0", parameters=(dose, ("comment", "N/A", "x"))),
        run(1, keep_raw=False, software="0.2.0", technique="lattice", technique_pid="y"),
    ]
    file = tmp_path / "runs.xml"
    file.write_bytes(b"".join(icatdata(settings, runs, kinds_of(read_template("lightsheet")))))
    ingest(icat_server.url, file, "--duplicate", "IGNORE")
    client = icat_client("root")
    assert [o.name for o in client.search("SELECT o FROM Dataset o ORDER BY o.name")] == ["run0", "run1"]
    assert client.search("SELECT o.version FROM Application o ORDER BY o.version") == ["0.1.0", "0.2.0"]
    assert client.search("SELECT o.pid FROM Technique o ORDER BY o.pid") == ["x", "y"]
    kinds = {o.name: (o.units, o.valueType, o.description) for o in client.search("SELECT o FROM ParameterType o")}
    assert kinds["dose"] == ("Gy", "NUMERIC", None)
    assert kinds["comment"] == ("N/A", "STRING", "anything else worth knowing")
    assert "geometry" not in kinds, "no run refers to it"


def test_what_is_there_already_need_not_be_in_the_file(runs, settings, icat_client, icat_server, ready, tmp_path):
    ready.new("Technique", name="SPIM", pid="x").create()
    file = tmp_path / "run.xml"
    file.write_bytes(b"".join(icatdata(settings, runs[1:2])))
    assert b"valueType" not in file.read_bytes()
    ingest(icat_server.url, file)
    ((name, *_),) = [[o.name] for o in ready.search("SELECT o FROM Dataset o")]
    assert name == "run1"


def test_a_text_that_icat_cannot_store_is_refused(settings):
    with pytest.raises(ParkedError, match=r"U\+0007"):
        list(icatdata(settings, [run(0, sample="bell\a")]))
    with pytest.raises(ParkedError, match="the path of the store has 512 characters"):
        list(icatdata(settings, [run(0, location="x" * 512, keep_raw=False)]))
