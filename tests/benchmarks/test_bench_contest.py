"""Turns, folders and refusals, with contestants that only say that they were there."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from octostream.benchmarks import contest
from octostream.benchmarks.contest import hold
from octostream.benchmarks.contestant import Launcher, Task
from octostream.benchmarks.lineup import lineup
from octostream.benchmarks.measurement import Measurement
from octostream.benchmarks.one_process import OneProcess
from octostream.benchmarks.workload import Workload, frame_numbers
from octostream.stream.errors import NoSpaceError, OctostreamError, UsageError
from octostream.stream.model import Plan


@dataclass
class Fake:
    name: str
    calls: list
    missing: str = ""
    error: Exception | None = None
    what: str = "nothing"
    folders: list = field(default_factory=list)

    def run(self, folder, seconds):
        assert list(folder.iterdir()) == []
        (folder / "store").mkdir()
        (folder / "store" / "shard").write_bytes(b"x" * 100)
        self.calls.append((self.name, seconds))
        self.folders.append(folder)
        if self.error:
            raise self.error
        return Measurement(10, 1.0, {"process": 1.0}, 1, 1, 1)


def quiet(run, name, measured):
    pass


def test_turns_are_interleaved_and_each_run_starts_with_another(tmp_path):
    calls = []
    heard = []
    contestants = [Fake(name, calls) for name in "abc"]
    results = hold(contestants, tmp_path, 2.5, 3, 0, lambda run, name, measured: heard.append((run, name)))
    assert [name for name, _ in calls] == [*"abc", *"bca", *"cab"]
    assert {seconds for _, seconds in calls} == {2.5}
    assert [name for _, name in heard] == [name for name, _ in calls]
    assert [(r.name, len(r.measurements)) for r in results] == [("a", 3), ("b", 3), ("c", 3)]


def test_every_store_is_gone_before_the_next_is_made_and_after_a_failure(tmp_path):
    good, bad = Fake("good", []), Fake("bad", [], error=OctostreamError("broken"))
    with pytest.raises(OctostreamError, match="broken"):
        hold([good, bad], tmp_path, 1.0, 1, 0, quiet)
    assert len(good.folders) == len(bad.folders) == 1
    assert list(tmp_path.iterdir()) == []


def test_who_is_missing_is_left_out_and_said(tmp_path):
    calls = []
    results = hold([Fake("a", calls), Fake("b", calls, missing="get it")], tmp_path, 1.0, 2, 0, quiet)
    assert calls == [("a", 1.0), ("a", 1.0)]
    assert (results[1].missing, results[1].measurements) == ("get it", ())


def test_a_disk_too_full_is_refused_with_need_and_free_before_anything_is_written(tmp_path):
    contestant = Fake("a", [])
    with pytest.raises(NoSpaceError, match=r"free, the run needs 1e\+06 PB"):
        hold([contestant], tmp_path, 1.0, 1, 10**21, quiet)
    assert contestant.calls == []
    assert list(tmp_path.iterdir()) == []


def test_the_space_asked_for_leaves_a_reserve(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(contest, "check_space", lambda path, need, reserve: asked.append((path, need, reserve)))
    hold([Fake("a", [])], tmp_path, 1.0, 1, 12345, quiet)
    assert asked == [(tmp_path, 12345, 2**30)]


def test_an_optional_library_that_is_not_there_is_named_with_the_remedy(workload):
    launcher = Launcher(workload, {})
    absent = OneProcess("x", "y", launcher, "acquire-zarr", package="no_such_library_here")
    assert absent.missing == 'not installed: pip install "octostream[bench]"'
    assert OneProcess("x", "y", launcher, "acquire-zarr", package="numpy").missing == ""


def test_ours_comes_first_names_are_unique_and_the_paced_one_comes_last(workload):
    names = [c.name for c in lineup(workload, lambda folder: None, {})]
    assert names[0] == "octostream"
    assert names[-1] == "octostream at 100 Hz"
    assert len(set(names)) == len(names) == 7


def test_a_process_that_fails_says_why_in_one_line(tmp_path):
    launcher = Launcher(Workload(tmp_path / "absent.tif", (256, 256)), {})
    with pytest.raises(OctostreamError, match=r"zeromq ended with code 1 \(.*absent\.tif.*\)") as caught:
        launcher.measure("zeromq", tmp_path, 0.1)
    assert "\n" not in str(caught.value)


def test_a_task_survives_the_command_line():
    task = Task("numpy", Workload(Path("a b.tif"), (300, 200)), Path("x y"), 1.5, {"tuned": True, "ids": [1, 2]})
    assert Task.from_json(task.to_json()) == task


@pytest.mark.parametrize("size", [(15, 100), (100, 15), (8193, 100), (100, 9000), (0, 0)])
def test_sizes_nobody_can_take_are_refused(size):
    with pytest.raises(UsageError, match="--size"):
        Workload(Path("x.tif"), size)


def test_frames_kept_ready_are_few_enough_for_memory():
    assert Workload(Path("x"), (2048, 2048)).bank_frames == 88
    big = Workload(Path("x"), (8192, 8192))
    assert big.bank_frames * big.frame_bytes <= 768 * 2**20
    assert big.bank_frames >= 1


def test_frames_kept_ready_are_the_tiled_recording(lattice):
    tifffile = pytest.importorskip("tifffile")
    recorded = tifffile.imread(lattice)
    bank = Workload(lattice, (400, 300)).bank()
    z, y, x = 5, 350, 280  # in the tile one down and one to the right
    assert bank.shape == (88, 400, 300)
    assert bank[z, y, x] == recorded[(z + 7 + 13) % 88, y - 320, x - 256]


def test_numbers_stop_at_the_end_of_a_block_when_the_time_is_over():
    plan = Plan((10, 1, 88, 2048, 2048), rate_hz=100.0)
    now = [0.0]
    numbers = []
    for number in frame_numbers(plan, 1.0, lambda: now[0]):
        numbers.append(number)
        now[0] += 0.03
    ends = {block.frames[-1] for block in plan.blocks}
    assert numbers == list(range(len(numbers)))
    assert numbers[-1] in ends
    assert 34 <= len(numbers) <= 34 + plan.blocks[0].count


def test_numbers_are_one_block_at_least_and_the_plan_at_most():
    plan = Plan((2, 1, 88, 2048, 2048), rate_hz=100.0)
    assert list(frame_numbers(plan, 0.0)) == list(plan.blocks[0].frames)
    assert list(frame_numbers(plan, 1e9)) == list(range(plan.frames))


def test_a_plan_lasts_longer_than_the_time_and_its_need_grows_with_it(workload):
    assert workload.plan(3.0).frames >= 3.0 * 2e9 / workload.frame_bytes
    assert workload.plan(0.001).frames >= 88
    assert workload.need_bytes(10.0) > 9 * workload.need_bytes(1.0)
