"""What a run becomes in ICAT, as unmodified python-icat sees it."""

import pytest
from octostream.sinks.catalogue.failures import ParkedError, judge
from octostream.sinks.catalogue.intent import Intent
from octostream.sinks.catalogue.registration import Registration
from octostream.stream.errors import StoreError
from octostream.tests.icat_server.seed import PROPOSAL

from .facts import OPENED, SECOND, facts_of

HERE = {"investigation": PROPOSAL, "visit": "1", "instrument": ""}
NOW = OPENED + 100 * SECOND


@pytest.fixture
def registration(connection, settings, ready):
    return Registration(connection.client(), settings, lambda: NOW)


def datasets(client, name="run0"):
    found = client.search(
        "SELECT o FROM Dataset o JOIN o.investigation AS i ORDER BY o.name INCLUDE o.investigation, o.type, "
        "o.parameters AS p, p.type, o.datasetInstruments AS di, di.instrument, o.datafiles AS f, f.datafileFormat"
    )
    return [o for o in found if o.name.startswith(name)]


def values(dataset):
    return {p.type.name: p.stringValue if p.numericValue is None else p.numericValue for p in dataset.parameters}


def ended(**changes):
    return facts_of(0, **{**HERE, "stored": 6, "last_frame_ns": NOW - SECOND, "ended_ns": NOW - SECOND // 2, **changes})


def test_a_run_is_there_from_its_first_second(registration, ready):
    registered = registration.deliver(Intent("opened", facts_of(0, **HERE)))
    reduced, raw = datasets(ready)
    assert (reduced.name, raw.name) == ("run0", "run0 raw")
    assert registered.datasets == {"reduced": reduced.id, "raw": raw.id}
    assert (reduced.complete, raw.complete, registered.complete, registered.lag_s) == (False, False, False, None)
    assert (reduced.type.name, raw.type.name) == ("processed", "raw")
    assert (reduced.investigation.name, reduced.investigation.visitId) == (PROPOSAL, "1")
    assert (reduced.location, raw.location) == ("inv/1/run0.ome.zarr", "inv/1/run0.ome.zarr/raw/0")
    assert reduced.startDate.timestamp() == OPENED / 1e9
    assert [i.instrument.name for i in raw.datasetInstruments] == ["lightsheet-1"]
    assert values(reduced) | {"registration_uuid": "", "recipe_sha256": ""} == {
        "registration_uuid": "", "run_id": facts_of(0).run, "run_status": "recording", "pixel_size_y": 0.1,
        "pixel_size_x": 0.1, "z_step": 0.5, "exposure_time": 9.5, "frame_rate": 100.0, "size_t": 2, "size_c": 1,
        "size_z": 3, "size_y": 8, "size_x": 10, "frames_expected": 6, "frames_stored": 0, "frames_lost": 0,
        "recipe": "lightsheet", "recipe_sha256": "", "software_version": "0.1.0",
    }  # fmt: skip


def test_a_run_is_complete_with_all_that_belongs_to_it(registration, ready, tmp_path):
    store = tmp_path / "run0.ome.zarr"
    (store / "raw/0/c").mkdir(parents=True)
    (store / "raw/0/c/0").write_bytes(b"12345")
    (store / "0").mkdir()
    (store / "0/zarr.json").write_bytes(b"{}")
    (store / ".octostream").mkdir()
    (store / ".octostream/ledger.json").write_bytes(b"{}")
    registration.deliver(Intent("opened", facts_of(0, **HERE)))
    registered = registration.deliver(Intent("sealed", ended(store=str(store))))
    assert (registered.complete, registered.lag_s) == (True, 1.0)
    reduced, raw = datasets(ready)
    assert (reduced.complete, reduced.fileSize, reduced.fileCount) == (True, 2, 1)
    assert (raw.complete, raw.fileSize, raw.fileCount) == (True, 5, 1)
    assert raw.endDate.timestamp() == (NOW - SECOND // 2) / 1e9
    assert [(f.name, f.location, f.fileSize) for f in reduced.datafiles] == [
        ("run0.ome.zarr", "inv/1/run0.ome.zarr", 2)
    ]
    assert [(f.name, f.location, f.fileSize) for f in raw.datafiles] == [("raw/0", "inv/1/run0.ome.zarr/raw/0", 5)]
    assert reduced.datafiles[0].datafileFormat.name == "OME-Zarr"
    assert (values(reduced)["run_status"], values(reduced)["frames_stored"]) == ("complete", 6)
    assert values(raw)["ledger_sha256"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    (job,) = ready.search(
        "SELECT j FROM Job j INCLUDE j.application, j.inputDataCollection AS i, i.dataCollectionDatasets AS id,"
        " id.dataset, j.outputDataCollection AS o, o.dataCollectionDatasets AS od, od.dataset"
    )
    assert (job.application.name, job.application.version) == ("octostream", "0.1.0")
    assert [x.dataset.name for x in job.inputDataCollection.dataCollectionDatasets] == ["run0 raw"]
    assert [x.dataset.name for x in job.outputDataCollection.dataCollectionDatasets] == ["run0"]


def test_whatever_is_repeated_changes_nothing(registration, ready):
    for kind in ("opened", "opened", "grown", "sealed", "sealed"):
        registration.deliver(Intent(kind, ended() if kind == "sealed" else facts_of(0, **HERE)))
    before = [str(o) for o in datasets(ready)]
    registration.deliver(Intent("sealed", ended()))
    assert [str(o) for o in datasets(ready)] == before
    assert len(before) == 2
    assert [len(ready.search(f"SELECT o FROM {e} o")) for e in ("Job", "DataCollection")] == [1, 2]


def test_a_store_that_is_gone_takes_no_size_away(registration, ready, tmp_path):
    """It was archived, or moved: telling ICAT again leaves what it has."""
    store = tmp_path / "run0.ome.zarr"
    (store / "raw/0/c").mkdir(parents=True)
    (store / "raw/0/c/0").write_bytes(b"12345")
    (store / "zarr.json").write_bytes(b"{}")
    registration.deliver(Intent("sealed", ended(store=str(store))))
    store.rename(tmp_path / "archive")
    registration.deliver(Intent("failed", ended(store=str(store), reason="mended by hand")))
    assert [(o.fileSize, o.fileCount) for o in datasets(ready)] == [(2, 1), (5, 1)]
    assert [f.fileSize for o in datasets(ready) for f in o.datafiles] == [2, 5]
    assert not datasets(ready)[0].complete


def test_a_store_that_was_renamed_is_the_file_that_it_was(registration, ready):
    registration.deliver(Intent("sealed", ended(keep_raw=False)))
    registration.deliver(Intent("sealed", ended(keep_raw=False, location="inv/1/run0 moved.ome.zarr")))
    assert [f.name for f in datasets(ready)[0].datafiles] == ["run0.ome.zarr"]


def test_an_end_alone_tells_everything(registration, ready):
    """The run began while the catalogue was away, and was over when it came back."""
    registration.deliver(Intent("sealed", ended(keep_raw=False)))
    (reduced,) = datasets(ready)
    assert (reduced.complete, len(reduced.datafiles)) == (True, 1)


def test_a_run_that_lost_frames_stays_incomplete_and_says_why_until_it_is_taken_up_again(registration, ready):
    registration.deliver(Intent("failed", ended(keep_raw=False, stored=4, lost=2, reason="the camera's cable \\ 'ü'")))
    (reduced,) = datasets(ready)
    assert (reduced.complete, values(reduced)["run_status"], values(reduced)["frames_lost"]) == (False, "incomplete", 2)
    assert values(reduced)["run_reason"] == "the camera's cable \\ 'ü'"
    registration.deliver(Intent("grown", ended(keep_raw=False, stored=5, ended_ns=0)))
    registration.deliver(Intent("sealed", ended(keep_raw=False)))
    (reduced,) = datasets(ready)
    assert (reduced.complete, values(reduced)["run_status"], values(reduced)["frames_lost"]) == (True, "complete", 0)
    assert "incomplete" not in reduced.description
    assert "run_reason" not in values(reduced)


def test_a_run_that_never_began_leaves_nothing(registration, ready):
    registration.deliver(Intent("opened", facts_of(0, **HERE)))
    assert registration.deliver(Intent("removed", facts_of(0, **HERE))) is None
    assert datasets(ready) == []
    registration.deliver(Intent("removed", facts_of(0, **HERE)))


def test_a_dataset_of_somebody_else_is_never_touched(registration, ready):
    registration.deliver(Intent("opened", facts_of(0, **HERE, keep_raw=False)))
    other = facts_of(1, **HERE, name="run0", keep_raw=False)
    for kind in ("opened", "grown", "sealed"):
        with pytest.raises(ParkedError, match="not of this run"):
            registration.deliver(Intent(kind, other))
    registration.deliver(Intent("removed", other))
    assert len(datasets(ready)) == 1


def test_an_investigation_that_is_not_there_is_never_replaced_by_another(registration, ready):
    for names in ({"visit": "9"}, {"investigation": "2026-004"}, {"visit": ""}, {"investigation": "x' OR '1'='1"}):
        with pytest.raises(ParkedError, match="has no investigation"):
            registration.deliver(Intent("opened", facts_of(0, **{**HERE, **names})))
    assert datasets(ready) == []


def test_a_reason_that_no_message_can_carry_is_told_as_far_as_it_can_be(registration, ready):
    registration.deliver(Intent("failed", ended(keep_raw=False, reason="driver:\x1b[31m lost\r\n\0")))
    (reduced,) = datasets(ready)
    assert values(reduced)["run_reason"] == "driver: [31m lost   "


def test_a_store_whose_disk_does_not_answer_is_told_later(registration, ready, tmp_path, monkeypatch):
    registration.deliver(Intent("opened", facts_of(0, **HERE)))
    (tmp_path / "run0.ome.zarr").mkdir()

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("octostream.sinks.catalogue.inventory.ledger_file", fails)
    with pytest.raises(StoreError) as told:
        registration.deliver(Intent("sealed", ended(store=str(tmp_path / "run0.ome.zarr"))))
    assert judge(told.value, 1).kind == "again"
    assert [o.complete for o in datasets(ready)] == [False, False]


def test_the_sample_of_a_dataset_is_never_struck_out(registration, ready):
    facts = ended(keep_raw=False, sample="fish")
    registration.deliver(Intent("opened", facts))
    (dataset,) = ready.search("SELECT o FROM Dataset o INCLUDE o.investigation, o.type")
    dataset.update()  # as if it could not be seen: what is not sent is struck out
    registration.deliver(Intent("sealed", facts))
    (dataset,) = ready.search("SELECT o FROM Dataset o INCLUDE o.sample")
    assert dataset.sample.name == "fish"


HOSTILE = [
    "O'Brien",
    "x' OR '1'='1",
    "back\\slash \\' '",
    "Ünïcode 漢字 🔬",
    "a &amp; b &lt;i&gt; &copy; <b>",
    "; DROP TABLE Dataset",
    "%s %(x)s {0}",
    "a" * 255,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_every_text_is_stored_as_it_is(registration, ready, text):
    facts = ended(sample=text, source=text, parameters=(("run_id", "N/A", "kept"),), reason=text, keep_raw=False)
    registration.deliver(Intent("failed", facts))
    (reduced,) = datasets(ready)
    assert values(reduced)["run_reason"] == text
    assert values(reduced)["run_id"] == facts.run
    samples = ready.search("SELECT s FROM Sample s INCLUDE s.investigation")
    assert [(s.name, s.investigation.visitId) for s in samples] == [(text, "1")]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sample": "a" * 256}, "the sample has 256 characters, ICAT stores 255"),
        ({"sample": "bell\a"}, r"character U\+0007"),
        ({"sample": "half \ud800"}, r"character U\+D800"),
        ({"location": "x/" * 256 + ".ome.zarr"}, "the path of the store has"),
        ({"instrument": "no such"}, "ICAT has no Instrument 'no such'"),
        ({"technique": "light sheet", "technique_pid": "FBbi:00000369"}, "ICAT has no Technique 'light sheet'"),
        ({"parameters": (("colour", "N/A", "red"),)}, "ICAT has no ParameterType 'colour', 'N/A'"),
    ],
)
def test_what_icat_cannot_store_is_refused_before_anything_is_made(registration, ready, changes, why):
    with pytest.raises(ParkedError, match=why):
        registration.deliver(Intent("opened", facts_of(0, **{**HERE, **changes})))
    assert datasets(ready) == []


def test_every_shard_of_raw_frames_is_a_file_of_its_own_where_that_is_set(connection, settings, ready, tmp_path):
    store = tmp_path / "run0.ome.zarr"
    (store / "raw/0/c/0").mkdir(parents=True)
    (store / "raw/0/zarr.json").write_bytes(b"{}")
    for n in range(205):
        (store / f"raw/0/c/0/{n:03}").write_bytes(b"x" * n)
    shards = Registration(connection.client(), settings.model_copy(update={"raw_shards": True}), lambda: NOW)
    for _ in range(2):
        shards.deliver(Intent("sealed", ended(store=str(store))))
    _, raw = datasets(ready)
    assert (raw.fileCount, len(raw.datafiles)) == (206, 205)
    files = {f.name: (f.location, f.fileSize) for f in raw.datafiles}
    assert files["raw/0/c/0/204"] == ("inv/1/run0.ome.zarr/raw/0/c/0/204", 204)


def test_a_server_gives_only_so_much_at_once(
    connection, settings, ready, tmp_path, icat_listener, icat_server, monkeypatch
):
    """Shards are delivered a second time, and a run is removed from an investigation of many datasets."""
    store = tmp_path / "run0.ome.zarr"
    (store / "raw/0/c").mkdir(parents=True)
    for n in range(120):
        (store / f"raw/0/c/{n}").write_bytes(b"x")
    shards = Registration(connection.client(), settings.model_copy(update={"raw_shards": True}), lambda: NOW)
    shards.deliver(Intent("sealed", ended(store=str(store))))
    shards.deliver(Intent("opened", facts_of(1, **HERE)))
    (investigation,) = ready.search(f"SELECT i FROM Investigation i WHERE i.name = '{PROPOSAL}' AND i.visitId = '1'")
    kind = ready.search("SELECT t FROM DatasetType t")[0]
    ready.createMany(
        [ready.new("Dataset", name=f"{n}", investigation=investigation, type=kind, complete=True) for n in range(120)]
    )
    monkeypatch.setattr(icat_listener.service, "_max_entities", 100)
    monkeypatch.setattr("octostream.sinks.catalogue.datasets.PAGE", 50)
    (store / "raw/0/c/120").write_bytes(b"x")
    shards.deliver(Intent("sealed", ended(store=str(store))))
    assert ready.search("SELECT COUNT(f) FROM Datafile f JOIN f.dataset d WHERE d.name = 'run0 raw'") == [121]
    shards.deliver(Intent("removed", facts_of(1, **HERE)))
    assert ready.search("SELECT COUNT(o) FROM Dataset o WHERE o.name LIKE 'run1%'") == [0]
    shards.deliver(Intent("removed", facts_of(1, **HERE)))


def test_shards_whose_answer_was_lost_are_not_registered_twice(connection, settings, ready, tmp_path, icat_server):
    store = tmp_path / "run0.ome.zarr"
    (store / "raw/0/c").mkdir(parents=True)
    for n in range(150):
        (store / f"raw/0/c/{n}").write_bytes(b"x")
    shards = Registration(connection.client(), settings.model_copy(update={"raw_shards": True}), lambda: NOW)
    icat_server.misbehaviour.order("drop", times=1, operations=["createMany"])
    with pytest.raises(OSError):
        shards.deliver(Intent("sealed", ended(store=str(store))))
    shards.deliver(Intent("sealed", ended(store=str(store))))
    assert len(datasets(ready)[1].datafiles) == 150
