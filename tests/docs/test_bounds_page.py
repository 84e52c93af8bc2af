"""docs/bounds.md against the code: every stage has its line, every number is the code's."""

import re
from typing import get_args

from octostream.acquire.agent import HEAD_QUEUE
from octostream.acquire.ring import RING_BYTES
from octostream.api import worker_process
from octostream.api.app import server_config
from octostream.api.picture import SHOW_SEALED_S
from octostream.api.routes.preview import MAX_VIEWERS
from octostream.api.settings import Settings
from octostream.sinks.appended import GATHERED_BYTES
from octostream.sinks.catalogue.intent import Kind
from octostream.sinks.catalogue.settings import CatalogueSettings
from octostream.sinks.shard_writer import CHUNKS_BYTES, SLAB_BYTES
from octostream.sinks.writer import AT_ONCE, THREADS
from octostream.stream import link
from octostream.stream.agent_protocol import FRAME_OVERHEAD
from octostream.stream.head_protocol import OPEN_RUNS, REMEMBERED_RUNS, HeadTiming
from octostream.stream.report import STAGES
from octostream.stream.sharing import IDLE_S, WINDOW_FRAMES
from octostream.stream.worker import SPARE_BYTES

from .conftest import ROOT, codes, table

PAGE = ROOT / "docs" / "bounds.md"
MIB = 2**20


def test_every_stage_with_a_queue_has_its_line():
    named = [code for _, what, *_ in table(PAGE, "where") for code in codes(what)]
    assert named == [stage for stage in STAGES if stage != "publish"]


def test_settings_that_are_named_exist():
    for code in re.findall(r"`(\w+_\w+)`", PAGE.read_text()):
        assert code in Settings.model_fields or code in CatalogueSettings.model_fields


def test_numbers_are_those_of_the_code():
    text = " ".join(PAGE.read_text().split())
    rows = {row[1]: row[2] for row in table(PAGE, "where")}
    assert f"at most {RING_BYTES // MIB} MiB or two blocks" in text
    assert rows["messages to the head"] == str(HEAD_QUEUE)
    assert rows["messages, a few KiB each"] == str(link.QUEUE_MESSAGES)
    assert f"`window_mib`, {WINDOW_FRAMES} frames" in rows["frames on their way"]
    assert rows["open runs"] == str(OPEN_RUNS)
    assert rows["runs that are over, for agents that ask how they ended"] == str(REMEMBERED_RUNS)
    assert rows["runs that are over, on the page"] == f"{REMEMBERED_RUNS}, for {SHOW_SEALED_S:g} s"
    assert (len(get_args(Kind)), "at most five entries a run" in rows["what ICAT has not been told yet"]) == (5, True)
    assert f"{MAX_VIEWERS} previews, {server_config(None, '', 0).limit_concurrency} connections" in text
    assert f"and {SPARE_BYTES // MIB} MiB for what a working process adds" in text
    assert f"{worker_process.RUN_BYTES // MIB} MiB, and {worker_process.MAP_BYTES} bytes a pixel" in text
    assert f"raw frame and {FRAME_OVERHEAD}" in text
    assert f"for each of at most {AT_ONCE * THREADS} shards at the same time" in text
    assert f"twice what is encoded at once, {SLAB_BYTES // MIB} MiB or a row of chunks" in text
    assert f"and {(GATHERED_BYTES + CHUNKS_BYTES) // MIB} MiB" in text
    assert f"after {HeadTiming().open_s:g} s without a worker" in text
    assert f"nothing came for {IDLE_S:g} s" in text
    assert (worker_process.SLOTS, "three slots a run" in text) == (3, True)
