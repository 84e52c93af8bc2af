"""Shards: what tensorstore would have written, whole or not at all, in little memory."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.sinks import layout, shard_writer
from octostream.sinks.appended import AppendedFile
from octostream.sinks.arrays import context, open_array
from octostream.sinks.durable import json_bytes
from octostream.sinks.layout import ABSENT, array_metadata, cut
from octostream.sinks.shard_writer import ShardWriter, encoding_bytes
from octostream.stream.direct_io import PAGE_BYTES
from octostream.stream.model import Plan, Product

DTYPES = ("uint8", "uint16", "uint32", "float32")


def chunks(file, grid):
    """Read a shard as the specification of Zarr says: the encoded chunks that are there, by their place."""
    data, count = file.read_bytes(), int(np.prod(grid))
    index = struct.unpack(f"<{2 * count}Q", data[-16 * count - 4 : -4])
    places = zip(np.ndindex(*grid), index[::2], index[1::2], strict=True)
    return {at: data[begin : begin + size] for at, begin, size in places if begin != ABSENT}


@st.composite
def shards(draw):
    """Give plan and product of some shapes, and what a shard of it shall hold."""
    t, z, y, x = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 40)), draw(st.integers(1, 40))
    dtype, sparse = draw(st.sampled_from(DTYPES)), draw(st.booleans())
    plan = Plan((t, 1, z, y, x), rate_hz=float(z))
    axes = draw(st.sampled_from(["tczyx", "tcyx", "tczx"]))
    shape = [dict(zip("tczyx", plan.shape, strict=True))[a] for a in axes]
    product = Product("0", axes, tuple(shape), dtype, 1, sparse=sparse)
    extent = dict(zip("tcz", plan.blocks[len(plan.blocks) - 1].extent, strict=True))
    size = [extent.get(a, n) for a, n in zip(axes, shape, strict=True)]
    part = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 250, size).astype(dtype)
    part *= np.random.default_rng(1).random(size[:-1])[..., None] > draw(st.sampled_from([0.0, 0.7, 2.0]))
    return plan, product, part


@settings(deadline=None)
@given(shards(), st.sampled_from([64, 700, 2**20]), st.sampled_from([1, 500, 2**23]))
def test_a_shard_holds_the_chunks_that_tensorstore_would_have_written(given_shard, chunk_bytes, slab_bytes):
    plan, product, part = given_shard
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(shard_writer, "SLAB_BYTES", slab_bytes)
        shard, chunk = cut(plan, product)
        grid = [whole // piece for whole, piece in zip(shard, chunk, strict=True)]
        place = Path("c", *"0" * part.ndim)
        metadata = array_metadata(plan, product, part.shape)
        theirs = open_array(Path(folder, "theirs"), metadata, context(1), sparse=product.sparse)
        theirs.write(part).result()
        ours = Path(folder, "ours", place)
        assert ShardWriter(plan, product, context(2)).write(ours, part) == ours.stat().st_size
        expected = Path(folder, "theirs", place)
        assert chunks(ours, grid) == (chunks(expected, grid) if expected.exists() else {})
        again = open_array(Path(folder, "ours"), metadata, context(1), sparse=True)
        np.testing.assert_array_equal(again.read().result(), part)


@pytest.fixture
def case(tmp_path):
    """Plan, product, content and file of a shard of several chunks."""
    plan = Plan((1, 1, 8, 512, 512))
    product = Product("0", "tczyx", plan.shape, "uint16", 1)
    part = np.random.default_rng(0).integers(0, 2**16, plan.shape, dtype=np.uint16)
    return plan, product, part, tmp_path / "c" / "0" / "0" / "0" / "0" / "0"


def test_zarr_python_reads_it(case, tmp_path):
    plan, product, part, file = case
    ShardWriter(plan, product, context(2)).write(file, part)
    (tmp_path / "zarr.json").write_bytes(json_bytes(array_metadata(plan, product, plan.shape)))
    np.testing.assert_array_equal(zarr.open_array(tmp_path, mode="r")[...], part)


def test_many_threads_write_their_shards_with_one_writer(case, tmp_path):
    plan, product, part, _ = case
    writer = ShardWriter(plan, product, context(2))
    files = [tmp_path / str(n) / "shard" for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: writer.write(files[n], part + n), range(12)))
    for n, file in enumerate(files):
        alone = tmp_path / "alone"
        ShardWriter(plan, product, context(2)).write(alone, part + n)
        assert file.read_bytes() == alone.read_bytes()


@pytest.mark.parametrize("failing", ["open", "pwrite", "ftruncate", "fsync", "replace"])
def test_where_a_write_fails_the_older_shard_stays_and_nothing_beside_it(case, monkeypatch, failing):
    plan, product, part, file = case
    writer = ShardWriter(plan, product, context(2))
    writer.write(file, part)
    before, real = file.read_bytes(), getattr(os, failing)

    def fail(*arguments, **named):
        if failing == "open" and not str(arguments[0]).endswith(".tmp"):
            return real(*arguments, **named)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            writer.write(file, part + 1)
    assert list(file.parent.iterdir()) == [file]
    assert file.read_bytes() == before
    writer.write(file, part[:, :, :3])
    assert len(chunks(file, (1, 1, 4, 1, 1))) == 2


def test_a_disk_of_small_blocks_that_is_full_is_said_to_be_full(tmp_path, monkeypatch):
    """It takes less than a page at the end, with which direct I/O cannot go on, and says why only at the next try."""
    made, real, left = AppendedFile(tmp_path / "x"), os.pwrite, [PAGE_BYTES + 1024]

    def pwrite(handle, data, offset):
        taken = min(len(data), left[0] - offset)
        if taken <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return min(real(handle, data, offset), taken)

    monkeypatch.setattr(os, "pwrite", pwrite)
    made.append(bytes(3 * PAGE_BYTES))
    with pytest.raises(OSError, match="No space left"):
        made.sync()
    made.close()


def test_what_a_killed_process_of_the_same_number_left_is_in_nobodys_way(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"torn" * 5000)
    made = AppendedFile(file)
    made.append(b"whole")
    made.sync()
    made.close()
    assert file.read_bytes() == b"whole"


@pytest.mark.parametrize("refused", ["never", "open", "write"])
@given(sizes=st.lists(st.integers(0, 3 * PAGE_BYTES), max_size=8))
def test_what_is_appended_is_the_file(refused, sizes):
    data = [bytes([k + 1]) * size for k, size in enumerate(sizes)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("octostream.sinks.appended.GATHERED_BYTES", 2 * PAGE_BYTES)
        direct = without_direct(patch, refused)
        made = AppendedFile(Path(folder, "x"))
        for part in data:
            made.append(part)
        made.sync()
        made.close()
        assert Path(folder, "x").read_bytes() == b"".join(data)
        assert made.nbytes == sum(sizes)
        assert bool(direct) == (refused != "open")


def without_direct(patch, refused):
    """Be a file system that refuses direct I/O when a file is opened, or when it is written."""
    real_open, real_pwrite, direct = os.open, os.pwrite, set()

    def open_(path, flags, mode=0o777):
        if flags & os.O_DIRECT and refused == "open":
            os.close(real_open(path, flags & ~os.O_DIRECT, mode))
            raise OSError(errno.EINVAL, "Invalid argument")
        handle = real_open(path, flags & ~os.O_DIRECT, mode)
        if flags & os.O_DIRECT:
            direct.add(handle)
        return handle

    def pwrite(handle, data, offset):
        if handle in direct and refused == "write":
            direct.remove(handle)
            direct.add(-1)
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_pwrite(handle, data, offset)

    patch.setattr(os, "open", open_)
    patch.setattr(os, "pwrite", pwrite)
    return direct


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from octostream.sinks.arrays import context
from octostream.sinks.shard_writer import ShardWriter
from octostream.stream.model import Plan, Product

plan = Plan((1, 1, 64, 1024, 1024), rate_hz=64.0)
writer = ShardWriter(plan, Product("0", "tczyx", plan.shape, "uint16", 1), context(2))
part = np.random.default_rng(0).integers(0, 2**16, plan.shape, dtype=np.uint16)
writer.write(Path(sys.argv[1], "first"), part[:, :, :1, :8])
peak = lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
writer.write(Path(sys.argv[1], "shard"), part)
print(peak() - before)
"""


def test_encoding_takes_no_more_memory_than_said_however_large_the_shard_is(tmp_path):
    plan = Plan((1, 1, 64, 1024, 1024), rate_hz=64.0)
    said = encoding_bytes(plan, Product("0", "tczyx", plan.shape, "uint16", 1), plan.shape)
    taken = int(subprocess.run([sys.executable, "-c", MEMORY, tmp_path], capture_output=True, check=True).stdout)
    assert taken <= said < 2 * 64 * 2**20 / 4
