"""Machine code that is kept on disk is never older than what it was compiled from."""

from __future__ import annotations

import pkgutil
from importlib import import_module, util

import octostream.kernels
import pytest
from numba.core.dispatcher import Dispatcher
from numba.core.registry import CPUDispatcher
from octostream.kernels import fused, runs
from octostream.kernels.compiled import sources

MODULES = [
    import_module(f"octostream.kernels.{found.name}")
    for found in pkgutil.iter_modules(octostream.kernels.__path__)
    if not found.name.startswith(("gpu", "cu"))
]
ENTRIES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value.py_func
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, CPUDispatcher) and value.py_func.__module__ == module.__name__ and value.targetoptions
    if type(value._cache).__name__ != "NullCache"
}


def pieces(function, found=None):
    """Give the modules of all that is compiled into an entry."""
    found = {} if found is None else found
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, Dispatcher) and value.py_func not in found:
            found[value.py_func] = value.py_func.__module__
            pieces(value.py_func, found)
    return set(found.values())


def closed_over(function):
    return dict(zip(function.__code__.co_freevars, [c.cell_contents for c in function.__closure__ or ()], strict=True))


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_closes_over_the_pieces_of_other_files(name):
    foreign = pieces(ENTRIES[name]) - {ENTRIES[name].__module__}
    if name == "fused._reduce_frame":
        # Constants and tuples of further files are compiled in, too.
        assert {module.__name__ for module in vars(fused).values() if hasattr(module, "__file__")} >= foreign
        assert "pieces" in closed_over(ENTRIES[name])
    else:
        assert closed_over(ENTRIES[name]).get("pieces") == (sources(*map(import_module, foreign)) if foreign else None)


def test_entries_are_found():
    assert {"keep._measure", "fused._reduce_frame", "pyramid.halve", "translation._translate"} <= set(ENTRIES)
    assert pieces(ENTRIES["keep._measure"]) == {runs.__name__}


def test_a_changed_file_has_another_digest(tmp_path):
    made = []
    for text in ("A = 1\n", "A = 2\n"):
        path = tmp_path / "changing.py"
        path.write_text(text)
        made.append(sources(runs, util.module_from_spec(util.spec_from_file_location("changing", path))))
    assert len({*made, sources(runs)}) == 3
