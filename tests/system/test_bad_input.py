"""Bad input: one clear line that says what and what to do, exit 1 or 2, nothing half-written."""

import os
import signal
import socket
import subprocess

import numpy as np
import pytest
import tifffile

from .conftest import acquire

pytestmark = pytest.mark.system


def one_line(lines, *words):
    """See that all a person gets is one line with these words in it."""
    said = [line for line in lines if line.strip()]
    assert len(said) == 1, said
    assert said[0].startswith("octostream: ")
    for word in words:
        assert word in said[0], (word, said[0])


def stack(path, dtype=np.uint16, shape=(4, 20, 30), **options):
    tifffile.imwrite(path, np.zeros(shape, dtype), **{"photometric": "minisblack", **options})
    return path


def missing(folder):
    return folder / "nothing.tif"


def no_image(folder):
    path = folder / "notes.tif"
    path.write_text("not an image")
    return path


def empty_folder(folder):
    path = folder / "empty"
    path.mkdir()
    return path


def floats(folder):
    return stack(folder / "float.tif", np.float32)


def colour(folder):
    return stack(folder / "rgb.tif", np.uint8, (20, 30, 3), photometric="rgb")


def changing(folder):
    path = folder / "changing.tif"
    with tifffile.TiffWriter(path) as file:
        for size in ((20, 30), (20, 30), (21, 30)):
            file.write(np.zeros(size, np.uint16), metadata=None)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, ["nothing.tif"]),
        (no_image, ["notes.tif"]),
        (empty_folder, ["empty"]),
        (floats, ["float32"]),
        (colour, ["rgb.tif"]),
        (changing, ["changing.tif", "21"]),
    ],
)
def test_source(call, shared_service, tmp_path, make, words):
    code, said = call("acquire", make(tmp_path), "--to", shared_service.ingest)
    assert code in (1, 2)
    one_line(said, *words)


def test_a_process_says_one_line_as_well(shared_service, tmp_path):
    code, agent = acquire(shared_service, missing(tmp_path))
    assert code in (1, 2)
    one_line(agent.err, "nothing.tif")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "nonsense"], ["nonsense", "lightsheet"]),
        (["--set", "blur.sigma=2"], ["blur", "calibrate"]),
        (["--set", "calibrate.ofset=2"], ["ofset", "offset"]),
        (["--set", "calibrate.offset"], ["calibrate.offset"]),
        (["--set", "calibrate.gain=0"], ["gain"]),
        (["--set", "calibrate.offset=wrong.npy"], ["wrong.npy", "7", "20"]),
        (["--set", "calibrate.offset=nan.npy"], ["nan.npy"]),
        (["--set", "calibrate.offset=none.npy"], ["none.npy"]),
        (["--name", "../escape"], ["../escape"]),
        (["--name", ".hidden"], [".hidden"]),
        (["--investigation", "a/b"], ["a/b"]),
        (["--visit", "../b"], ["visit", "../b"]),
        (["--technique", "latice"], ["latice", "lattice"]),
        (["--technique", "lightsheet"], ["sample", "--meta sample="]),
        (["--technique", "flim", "--meta", "sample=a", "--meta", "repetition_rate_mhz=-1"], ["-1", "MHz"]),
        (["--meta", "sample"], ["sample", "KEY=VALUE"]),
        (["--meta", "none.toml"], ["none.toml"]),
        (["--visit", "b.ome.zarr"], ["visit", "b.ome.zarr", "only stores"]),
        (["--name", "taken"], ["taken"]),
        (["--tile", "huge"], ["huge", "2048x2048"]),
        (["--rate", "0"], ["rate"]),
        (["--loop", "0"], ["loop"]),
        (["--axes", "t=3"], ["axes"]),
    ],
)
def test_request(call, shared_service, tmp_path, monkeypatch, arguments, words):
    source = stack(tmp_path / "good.tif")
    np.save(tmp_path / "wrong.npy", np.zeros((7, 7), np.float32))
    np.save(tmp_path / "nan.npy", np.full((20, 30), np.nan, np.float32))
    monkeypatch.chdir(tmp_path)
    if "taken" in arguments and not (shared_service.data / "local" / "taken.ome.zarr").exists():
        assert acquire(shared_service, source, "--name", "taken")[0] == 0
    before = sorted(p for p in shared_service.data.rglob("*.ome.zarr"))
    code, said = call("acquire", source, "--to", shared_service.ingest, *arguments)
    assert code in (1, 2), said
    one_line(said, *words)
    assert sorted(p for p in shared_service.data.rglob("*.ome.zarr")) == before


def test_eight_bit_is_widened(shared_service, tmp_path):
    path = stack(tmp_path / "eight.tif", np.uint8, photometric="minisblack")
    code, agent = acquire(shared_service, path)
    assert code == 0, agent.err


def test_tier_unreachable(command, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    agent = command("acquire", stack(tmp_path / "good.tif"), "--to", f"tcp://127.0.0.1:{port}")
    assert agent.wait(60) == 1
    one_line(agent.err, f"tcp://127.0.0.1:{port}", "octostream serve")


@pytest.mark.parametrize(
    "address", ["nowhere", "http://127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:*", "tcp://no such host:1"]
)
def test_tier_address_is_none(call, tmp_path, address):
    code, said = call("acquire", stack(tmp_path / "good.tif"), "--to", address)
    assert code == 2
    one_line(said, address, "tcp://HOST:PORT")


def test_tier_speaks_another_version(command, tmp_path):
    """A tier of another release answers with its own version, and the agent names both."""
    import zmq
    from octostream.stream.messages import Refuse
    from octostream.stream.wire import encode

    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        agent = command("acquire", stack(tmp_path / "good.tif"), "--to", f"tcp://127.0.0.1:{port}")
        assert router.poll(30_000)
        address = router.recv_multipart()[0]
        header = encode(Refuse("no"))[0].replace(b"\xa1v\x01", b"\xa1v\x07")
        router.send_multipart([address, header])
        assert agent.wait(30) == 1
    one_line(agent.err, "version 7", "1", "same release")


def test_addresses_in_use(serve, command, tmp_path):
    service = serve()
    http = service.dashboard.split("//")[1].rstrip("/")
    for flag, taken in (("--http", http), ("--ingest", service.ingest)):
        other = ["--ingest", "tcp://127.0.0.1:0"] if flag == "--http" else ["--http", "127.0.0.1:0"]
        second = command("serve", "--data", tmp_path / "second", flag, taken, *other)
        assert second.wait(60) == 2
        one_line(second.err, taken.removeprefix("tcp://"), flag)


def test_data_directory_cannot_be_written(command, tmp_path):
    (tmp_path / "file").write_text("in the way")
    service = command("serve", "--data", tmp_path / "file" / "data", "--http", "127.0.0.1:0")
    assert service.wait(60) == 1
    one_line(service.err, "file/data", "--data")


@pytest.mark.parametrize(
    ("text", "words"),
    [("colour = 3", ["colour", "data"]), ("workers = 0", ["workers"]), ("= 1", ["settings.toml", "TOML"])],
)
def test_settings_file(call, tmp_path, text, words):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    code, said = call("serve", "--config", path)
    assert code == 2
    one_line(said, *words)


def test_disk_nearly_full_at_start(serve, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", disk], check=False).returncode:
        assert os.environ.get("CI") != "true", "mounting must be possible under CI"
        pytest.skip("mounting is not permitted here")
    service = None
    try:
        service = serve(data=disk / "data")
        code, agent = acquire(service, "simulated:size=512x512,z=20,t=30")
        assert code == 1
        one_line(agent.err, "free", "needs", "MB")
        assert not list((disk / "data").rglob("*.ome.zarr"))
    finally:
        if service:
            service.end()
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("path", ["nothing.ome.zarr", "."])
def test_verify_of_no_store(call, tmp_path, path):
    code, said = call("verify", tmp_path / path)
    assert code == 1
    one_line(said, str(tmp_path))


def test_frame_that_becomes_unreadable_is_lost_alone(shared_service, tmp_path):
    """A damaged page in the middle costs that frame and no other; the ledger names it."""
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.tif"
    frames = rng.integers(0, 4000, (12, 64, 64), dtype=np.uint16)
    tifffile.imwrite(path, frames, compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        at, count = file.pages[7].dataoffsets[0], file.pages[7].databytecounts[0]
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(b"\xff" * count)
    code, agent = acquire(shared_service, path)
    assert code == 1
    result = agent.json()
    assert (result["status"], result["frames_stored"], result["frames_lost"]) == ("incomplete", 11, 1)
    (loss,) = result["lost"]
    assert (loss["first"], loss["last"], loss["where"]) == (7, 7, "source")
    assert "damaged.tif" in loss["why"]


def test_interrupt_before_the_run_is_open(command, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        agent = command("acquire", stack(tmp_path / "good.tif"), "--to", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        silent.settimeout(30)
        with silent.accept()[0]:
            agent.signal(signal.SIGINT)
            assert agent.wait(30) != 0
    assert not any("Traceback" in line for line in agent.err), agent.err
