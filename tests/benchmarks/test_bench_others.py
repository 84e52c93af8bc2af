"""The pipe carries every frame; acquire-zarr keeps what it is given."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from octostream.benchmarks import pipe
from octostream.benchmarks.contestant import Task
from octostream.benchmarks.workload import Workload
from octostream.stream.errors import UnreachableError
from octostream.stream.link import Dealer, Poll, context


def test_the_pipe_counts_what_arrived(workload, tmp_path):
    measurement = pipe.work(Task("zeromq", workload, tmp_path, 0.0))
    assert measurement.frames == 88
    assert measurement.raw_bytes == 88 * 256 * 256 * 2
    assert measurement.stored_bytes == 0
    assert measurement.seconds > 0
    assert measurement.cpu_s.keys() == {"sender", "receiver"}


def test_the_far_end_answers_every_frame_and_ends_with_its_parent():
    launch = (
        "import subprocess, sys, os\n"
        "command = [sys.executable, '-m', 'octostream.benchmarks.pipe_end', str(os.getpid())]\n"
        "process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "print(process.stdout.readline(), end='', flush=True)\n"
        "print(process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", launch], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    endpoint, pid = parent.stdout.readline().strip(), int(parent.stdout.readline())
    ctx = context()
    link = Dealer(ctx, endpoint)
    poll = Poll()
    poll.add(link)
    answers = 0
    try:
        for _ in range(5):
            link.send([b"frame", b"x" * 1000])
        for _ in range(50):
            poll.wait(0.2)
            while link.receive() is not None:
                answers += 1
            if answers == 5:
                break
    finally:
        link.close()
        ctx.term()
        parent.communicate()
    assert answers == 5
    ended = subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], timeout=20, check=False)
    assert ended.returncode == 0


def test_a_silent_far_end_is_not_waited_for_for_ever(monkeypatch):
    ctx = context()
    link = Dealer(ctx, "tcp://127.0.0.1:9")
    monkeypatch.setattr(pipe, "PATIENCE_S", -1.0)
    credit = pipe._Credit(link, 2)
    try:
        credit.take()
        credit.take()
        with pytest.raises(UnreachableError, match="silent"):
            credit.take()
    finally:
        link.close()
        ctx.term()


@pytest.mark.parametrize(
    ("size", "pyramid", "levels"),
    [((256, 256), False, 1), ((256, 256), True, 1), ((512, 512), True, 2), ((407, 610), False, 1)],
)
def test_acquire_zarr_keeps_the_raw_frames(lattice, tmp_path, size, pyramid, levels):
    pytest.importorskip("acquire_zarr")
    from octostream.benchmarks.acquire_zarr_stream import work

    workload = Workload(lattice, size)
    measurement = work(Task("acquire-zarr", workload, tmp_path, 0.0, {"pyramid": pyramid}))
    found = zarr.open(tmp_path / "acquire.zarr", mode="r")
    made = [found] if isinstance(found, zarr.Array) else [found[key] for key in sorted(found.array_keys())]
    bank = workload.bank()
    assert len(made) == levels
    np.testing.assert_array_equal(made[0][...], bank)
    if levels > 1:
        mean = bank.reshape(88, 256, 2, 256, 2).mean(axis=(2, 4))
        assert np.abs(made[1][...] - mean).max() < 1
    assert measurement.frames == 88
    assert 0 < measurement.stored_bytes < measurement.raw_bytes


def test_acquire_zarr_makes_the_levels_that_ours_makes():
    aqz = pytest.importorskip("acquire_zarr")
    from octostream.benchmarks.acquire_zarr_stream import array_settings

    workload = Workload(Path("unused.tif"), (2048, 2048))
    plain = array_settings(workload.plan(1.0), 0)
    assert [(d.chunk_size_px, d.shard_size_chunks) for d in plain.dimensions] == [(1, 30), (256, 8), (2048, 1)]
    assert plain.downsampling_method is None
    with_pyramid = array_settings(workload.plan(1.0), 3)
    assert with_pyramid.downsampling_method == aqz.DownsamplingMethod.MEAN
    assert with_pyramid.max_levels == 3
    assert [(d.chunk_size_px, d.shard_size_chunks) for d in with_pyramid.dimensions] == [(1, 30), (256, 8), (256, 8)]
