"""The stand-in as its own process: one line when it is ready, a file that outlives it, an end on SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager

import icat
import pytest
from octostream.tests.icat_server.objects import dataset, names

pytestmark = pytest.mark.system
LOGIN = ("simple", {"username": "ingester", "password": "ingester-secret"})


@contextmanager
def process(*arguments):
    command = [sys.executable, "-m", "octostream.tests.icat_server", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            url = run.stdout.readline().strip()
            yield run, url
        finally:
            run.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_stored_outlives_the_process(tmp_path, ending):
    data = tmp_path / "icat.db"
    with process("--data", data, "--seed") as (run, url):
        port = url.rpartition(":")[2]
        client = icat.Client(url, cache=None)
        client.set_options(timeout=20)
        client.autoLogout = False
        client.login(*LOGIN)
        dataset(client, "kept").create()
        run.send_signal(ending)
        assert run.wait(20) == (0 if ending == signal.SIGTERM else -ending)
    with process("--data", data, "--seed", "--port", port) as (_, again):
        assert again == url
        assert client.getUserName() == "simple/ingester"
        assert names(client) == ["kept"]
        assert client.search("SELECT COUNT(f) FROM Facility f") == [1]


def test_without_seed_it_is_empty_and_root_may_fill_it():
    with process() as (run, url):
        client = icat.Client(url, cache=None)
        client.set_options(timeout=20)
        client.autoLogout = False
        client.login("simple", {"username": "root", "password": "root-secret"})
        assert client.search("SELECT COUNT(f) FROM Facility f") == [0]
        client.new("Facility", name="mine").create()
        assert names(client, "Facility") == ["mine"]
        run.send_signal(signal.SIGTERM)
        assert run.wait(20) == 0
        assert run.stdout.read() == ""
