import pytest
from octostream.api.settings import Settings
from octostream.sinks.disk import reserve_of
from octostream.stream.errors import UsageError


def test_flags_win_over_environment_over_file(tmp_path, monkeypatch):
    path = tmp_path / "octostream.toml"
    path.write_text('http = "127.0.0.1:1"\ningest = "tcp://127.0.0.1:2"\nworkers = 3\n')
    monkeypatch.setenv("OCTOSTREAM_WORKERS", "4")
    monkeypatch.setenv("OCTOSTREAM_INGEST", "tcp://127.0.0.1:5")
    settings = Settings.load(path, {"workers": 6, "http": None})
    assert (settings.http, settings.ingest, settings.workers) == ("127.0.0.1:1", "tcp://127.0.0.1:5", 6)


def test_settings_are_frozen():
    settings = Settings.load(None, {})
    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 9


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"http": "8000"}, "HOST:PORT"),
        ({"http": "localhost:99999"}, "HOST:PORT"),
        ({"ingest": "127.0.0.1:1"}, "tcp://HOST:PORT"),
        ({"workers": 0}, "workers"),
        ({"workerz": 1}, "the settings are data, http"),
        ({"drain_s": -1}, "drain_s"),
        ({"device": "tpu"}, "device.*'auto', 'cpu' or 'gpu'"),
    ],
)
def test_what_is_wrong_is_named(flags, words):
    with pytest.raises(UsageError, match=words):
        Settings.load(None, flags)


def test_missing_file():
    from pathlib import Path

    with pytest.raises(UsageError, match="--config"):
        Settings.load(Path("nowhere.toml"), {})


def test_reserve_is_a_small_part_of_a_small_disk():
    assert reserve_of(10**12, 512 * 2**20) == 512 * 2**20
    assert reserve_of(50 * 2**20, 512 * 2**20) == 2**20
