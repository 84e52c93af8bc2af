"""The benchmark of encryption, small: both run, and nothing stays behind."""

import pytest
from octostream.benchmarks.curve import compare, make_keys
from octostream.stream import key_files

pytestmark = pytest.mark.system


def test_both_ways_are_measured_and_compared(workload, tmp_path):
    found = compare(workload, tmp_path, 0.2, 1, 1)
    assert found["ratio"] == pytest.approx(found["with_hz"] / found["without_hz"])
    assert set(found["spread_hz"]) == {"octostream", "octostream with keys"}
    assert list(tmp_path.iterdir()) == []


def test_keys_of_the_benchmark_are_keys(tmp_path):
    key = key_files.read_instrument(make_keys(tmp_path / "keys"))
    assert key_files.in_use(tmp_path / "keys")
    assert key_files.read_allowed(tmp_path / "keys").of(key.pair.public).may_record_in("anything")
    assert key.tier == key_files.read_server(tmp_path / "keys").public
