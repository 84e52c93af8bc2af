"""Which versions a store says that it was made by."""

import json

import numpy as np
import pytest
from octostream import __version__
from octostream.api import software
from octostream.api.software import software_versions
from octostream.kernels.offers import GROUP, offered


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package that is only its metadata."""

    def add(name, version, entry_points=""):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "entry_points.txt").write_text(entry_points)

    monkeypatch.syspath_prepend(tmp_path)
    for remembered in (offered, software_versions):
        remembered.cache_clear()
    yield add
    for remembered in (offered, software_versions):
        remembered.cache_clear()


def test_every_program_has_the_version_that_it_gives_itself():
    versions = software_versions()
    assert (versions["octostream"], versions["numpy"]) == (__version__, np.__version__)
    assert all(text and text[0].isdigit() for text in versions.values())
    assert json.loads(json.dumps(dict(versions))) == versions


@pytest.mark.parametrize("name", ["cupy-cuda12x", "cupy-cuda13x"])
def test_what_a_gpu_reduces_with_is_named_where_it_is_installed(install, name):
    install(name, "14.9")
    assert software_versions()[name] == "14.9"


def test_packages_whose_steps_a_recipe_may_name_are_named(install):
    install("bright-pack", "1.2", f"[{GROUP}]\nbright = bright:STEP\nbrighter = bright:MORE\n")
    install("other-pack", "3.4", "[console_scripts]\nother = other:main\n")
    versions = software_versions()
    assert versions["bright-pack"] == "1.2"
    assert "other-pack" not in versions


def test_nothing_is_looked_up_twice(monkeypatch):
    known = software_versions()
    monkeypatch.setattr(software, "version", lambda name: pytest.fail(f"{name} is looked up while a run is opened"))
    assert software_versions() == known
    with pytest.raises(TypeError):
        known["numpy"] = "0"
