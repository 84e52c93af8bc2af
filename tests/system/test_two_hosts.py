"""Tier and instrument on two hosts: two network namespaces with a cable between them."""

import os
import shutil
import subprocess

import pytest

from .conftest import Command

pytestmark = pytest.mark.system

SOURCE = "simulated:size=64x64,z=20,t=4"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@pytest.fixture
def hosts():
    """Give the prefix of a command for each host, and the tier's interface; the tier is at 10.231.77.1."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root with iproute2 can make network namespaces")
    tier, instrument = (f"octo-{name}-{os.getpid()}" for name in ("tier", "instrument"))
    try:
        ip("netns", "add", tier)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    try:
        ip("netns", "add", instrument)
        ip("-n", tier, "link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", instrument)
        for name, link, address in ((tier, "cable0", "10.231.77.1/24"), (instrument, "cable1", "10.231.77.2/24")):
            ip("-n", name, "addr", "add", address, "dev", link)
            ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield [("ip", "netns", "exec", name) for name in (tier, instrument)]
    finally:
        for name in (tier, instrument):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=20)


def acquire(prefix, to, *arguments, code=0):
    agent = Command("acquire", SOURCE, "--to", to, "--json", *arguments, prefix=prefix)
    try:
        assert agent.wait(90) == code, agent.err
    finally:
        agent.end()
    return agent


@pytest.mark.parametrize("host", ["0.0.0.0", "10.231.77.1", "cable0"])
def test_an_instrument_records_over_the_network(hosts, serve, instruments, host):
    tier, instrument = hosts
    file = instruments.new("lattice", "local")
    service = serve("--workers", "2", data=instruments.data, ingest=f"tcp://{host}:0", prefix=tier)
    to = f"tcp://10.231.77.1:{service.ingest.rpartition(':')[2]}"
    assert acquire(instrument, to, "--key", file).json()["frames_stored"] == 80
    assert "asks for a key" in acquire(instrument, to, code=1).err[-1]
    # The tier's own host is no exception.
    here = f"tcp://127.0.0.1:{service.ingest.rpartition(':')[2]}" if host == "0.0.0.0" else to
    assert acquire(tier, here, "--key", file).json()["status"] == "complete"
    assert "asks for a key" in acquire(tier, here, code=1).err[-1]


def test_a_tier_without_keys_does_not_listen_to_the_network(hosts, tmp_path):
    tier, _ = hosts
    arguments = ("--http", "127.0.0.1:0", "--ingest", "tcp://10.231.77.1:0")
    service = Command("serve", "--data", tmp_path, *arguments, prefix=tier)
    try:
        assert service.wait(60) == 2
    finally:
        service.end()
    assert "no key is in use" in service.err[-1]
