"""The house: layers, sizes, names, what is public, and what must not stand in any file."""

from __future__ import annotations

import ast
import logging
import os
import re
import statistics
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import grimp
import octostream
import pytest
from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

ROOT = Path(__file__).parents[1]
LAYERS = ("stream", "acquire", "kernels", "sinks", "api")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
FOLDERS = {ROOT.joinpath(*package.split(".")[1:]): package for package in PACKAGES}
MODULES = sorted(file for folder in FOLDERS for file in folder.glob("*.py"))
#: Lines of text that somebody has to read; the lock file and pictures are for machines.
READ = {".py", ".js", ".css", ".html", ".md"}


def tracked():
    """Give the files that belong to the project: all but what ``.gitignore`` names; there may be no git here."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()] + [".git"]
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not any(fnmatch(name, pattern) for pattern in ignored)]
        found += [Path(folder, name) for name in files if not any(fnmatch(name, pattern) for pattern in ignored)]
    return sorted(found)


def lines(file):
    return len(file.read_text().splitlines())


def test_folders_are_where_everybody_looks_for_them():
    assert all((ROOT / folder / "__init__.py").is_file() for folder in LAYERS)
    assert all((ROOT / folder).is_dir() for folder in ("docker", "tests", "benchmarks", "docs"))
    files = ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "constraints.txt", ".ci/run")
    assert all((ROOT / file).is_file() for file in files)


def test_packages_of_the_project_are_the_folders_with_modules():
    own = {file.parent for file in tracked() if file.suffix == ".py"}
    outside = {ROOT / "tests", ROOT / "docs"}
    found = {folder for folder in own if not any(folder.is_relative_to(o) for o in outside)}
    assert found == set(FOLDERS)
    assert all((folder / "__init__.py").is_file() for folder in found)


def test_types_and_page_are_shipped():
    assert (ROOT / "py.typed").is_file()
    data = PROJECT["tool"]["setuptools"]["package-data"]
    assert "py.typed" in data["octostream"]
    static = [file for file in tracked() if ROOT / "api" / "static" in file.parents]
    shipped = {file for pattern in data["octostream.api"] for file in (ROOT / "api").glob(pattern)}
    assert set(static) <= shipped
    assert static


def test_cuda_sources_are_shipped_and_joined():
    from octostream.kernels import cuda_reductions, cuda_source

    folder = ROOT / "kernels" / "cuda"
    shipped = {
        f
        for pattern in PROJECT["tool"]["setuptools"]["package-data"]["octostream.kernels"]
        for f in (ROOT / "kernels").glob(pattern)
    }
    joined = {folder / name for name in (*cuda_source.FILES, *cuda_reductions.FILES)}
    assert joined == {file for file in tracked() if file.parent == folder} <= shipped


def test_version_is_said_once():
    assert PROJECT["project"]["version"] == octostream.__version__


# --- size -------------------------------------------------------------------------------------------------------


def test_no_file_is_long():
    long = {
        file.relative_to(ROOT).as_posix(): n for file in tracked() if file.suffix in READ and (n := lines(file)) > 500
    }
    assert not long


@pytest.mark.parametrize("folder", LAYERS)
def test_the_usual_file_is_short(folder):
    assert statistics.median(lines(f) for f in MODULES if f.is_relative_to(ROOT / folder)) < 200


# --- layers -----------------------------------------------------------------------------------------------------


def contracts_hold(config):
    """Ask the linter itself: its command would switch off every logger of this process, and tests read logs."""
    configure()
    return lint_imports(config_filename=str(config), cache_dir=None)


def test_contracts_hold(capsys):
    log = logging.getLogger("octostream.house")
    assert contracts_hold(ROOT / "pyproject.toml"), capsys.readouterr().out
    assert not log.disabled


def test_a_broken_contract_is_noticed(tmp_path, capsys):
    config = tmp_path / "contracts.toml"
    config.write_text(
        '[tool.importlinter]\nroot_packages = ["octostream"]\n\n[[tool.importlinter.contracts]]\nname = "upside down"\n'
        'type = "layers"\nlayers = ["octostream.stream", "octostream.api"]\n'
    )
    assert not contracts_hold(config)
    assert "upside down" in capsys.readouterr().out


def test_contracts_speak_of_every_layer():
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (layers,) = [c["layers"] for c in contracts if c["type"] == "layers"]
    assert [layer for layer in LAYERS if not any(f"octostream.{layer}" in text for text in layers)] == []
    forbidden = {module for c in contracts if c["type"] == "forbidden" for module in c["forbidden_modules"]}
    assert forbidden >= {"zmq", "numba", "cupy", "zarr", "tensorstore", "fastapi", "typer"}


def circles(imports):
    """Give one circle of a graph of imports, or nothing."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        found = next((circle for other in sorted(imports[module]) if (circle := visit(other))), [])
        path.pop()
        done.add(module)
        return found

    return next((circle for module in sorted(imports) if (circle := visit(module))), [])


def test_no_module_imports_itself_by_way_of_others():
    graph = grimp.build_graph("octostream", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) >= 100
    assert not circles(imports)


def test_a_circle_is_noticed():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_nothing_is_called_by_a_word_that_says_nothing():
    vague = re.compile(r"utils?|helpers?|managers?|misc|common", re.IGNORECASE)
    assert not [file for file in MODULES if any(vague.fullmatch(word) for word in file.stem.split("_"))]


# --- what is public ---------------------------------------------------------------------------------------------

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(tree):
    """Give the public classes and functions of a module, and the public methods of public classes."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from ((f"{node.name}.{n}", method) for n, method in public(node))


def faults(source):
    """Name what is public without docstring or annotation."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) or not tree.body else ["module: no docstring"]
    for name, node in public(tree):
        if not ast.get_docstring(node):
            found.append(f"{name}: no docstring")
        if isinstance(node, Function):
            arguments = [
                *node.args.posonlyargs,
                *node.args.args,
                *node.args.kwonlyargs,
                node.args.vararg,
                node.args.kwarg,
            ]
            bare = [a.arg for a in arguments if a and a.annotation is None and a.arg not in ("self", "cls")]
            found += [f"{name}: {argument} is not annotated" for argument in bare]
            if node.returns is None:
                found.append(f"{name}: what it returns is not annotated")
    return found


def test_everything_public_is_annotated_and_described():
    found = {f.relative_to(ROOT).as_posix(): bad for f in MODULES if (bad := faults(f.read_text()))}
    assert not found


def test_what_is_not_described_is_noticed():
    source = "class A:\n    def b(self, c, *, d: int): ...\n\n    def _e(self): ...\n\n\ndef _f(): ...\n"
    assert faults(source) == [
        "module: no docstring",
        "A: no docstring",
        "A.b: no docstring",
        "A.b: c is not annotated",
        "A.b: what it returns is not annotated",
    ]


# --- what must not stand in any file ----------------------------------------------------------------------------

#: Hosts and options of package indexes; folders of somebody's own machine; notes to oneself; code that is not there.
UNWANTED = {
    "index": re.compile(r"https?://(?:files|registry|deb|security|pyp\w+)\.|--(?:extra-)?index-url|PIP_INDEX"),
    "machine": re.compile(r"(?<![\w.$}~-])/(?:work|root|home/(?!user/)\w+|Users/\w+|tmp|mnt)/\w"),
    "note": re.compile(r"\b(?:TODO|FIXME|XXX)\b"),
    "stub": re.compile(r"\bNotImplementedError\b"),
}
HERE = Path(__file__).resolve()


def texts():
    for file in tracked():
        if file.resolve() != HERE and file.suffix not in (".png", ".svg"):
            yield file.relative_to(ROOT).as_posix(), file.read_text()


@pytest.mark.parametrize("kind", UNWANTED)
def test_no_file_has_what_belongs_in_none(kind):
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if UNWANTED[kind].search(line)
    ]
    assert not found


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("index", "https://" + "files.example/packages"),
        ("index", "pip install --extra-index-url x"),
        ("machine", "open('/home/somebody/data')"),
        ("machine", "see /tmp/out.txt"),
        ("note", "# TODO later"),
        ("stub", "raise NotImplementedError"),
    ],
)
def test_what_belongs_in_none_is_noticed(kind, text):
    assert UNWANTED[kind].search(text)


@pytest.mark.parametrize("text", ["../shared/data", "tests/tmp/x", "f'{folder}/tmp/x'", "https://a.b/home/x"])
def test_other_paths_are_left_alone(text):
    assert not UNWANTED["machine"].search(text)
