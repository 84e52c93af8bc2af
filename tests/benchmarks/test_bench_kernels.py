"""``octostream bench kernels``: every case works, and the figures are what was measured."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from octostream.benchmarks import kernel_cases as kernel_cases_module
from octostream.benchmarks.kernel_case import CALLS, KernelCase, KernelResult, kernel_rows, measure
from octostream.benchmarks.kernel_cases import kernel_cases
from octostream.kernels import quantise_step
from octostream.kernels.foreground_step import ForegroundReducer
from octostream.kernels.quantise import plan_quantiser
from octostream.kernels.quantise_step import QuantiseReducer
from octostream.kernels.steps import find_step, step_names


def test_every_step_is_measured_and_every_rival_works():
    frames = np.random.default_rng(0).poisson(300, (4, 64, 48)).astype(np.uint16)
    cases = {case.name: case for case in kernel_cases(frames)}
    assert {name for name in step_names() if find_step(name).plan} <= set(cases)
    for case in cases.values():
        result = measure(case, 0.0, 1e9)
        assert result.ms > 0
        assert result.moved_mb > 0
        assert set(result.ratios) == set(case.rivals)
    told = {case.name: case.why for case in cases.values() if case.why}
    assert told == kernel_cases_module._WHY


@pytest.mark.parametrize("step", ["foreground", "quantise"])
def test_a_step_that_works_in_place_never_sees_its_own_output(monkeypatch, step):
    frames = np.full((4, 512, 512), 100, np.uint16)
    frames[:, :150, :150] += np.random.default_rng(0).poisson(3000, (4, 150, 150)).astype(np.uint16)
    seen, theirs = [], {}
    reducer = {"foreground": ForegroundReducer, "quantise": QuantiseReducer}[step]
    real = reducer.finish

    def finish(self, arrays, present):
        seen.append((arrays, arrays["0"].copy(), arrays["0"]))
        return real(self, arrays, present)

    def rivals(name, frames, arrays):
        theirs.update(arrays)
        return {}

    monkeypatch.setattr(reducer, "finish", finish)
    monkeypatch.setattr(kernel_cases_module, "step_rivals", rivals)
    (case,) = kernel_cases(frames, step)
    measure(case, 0.0, 1e9)
    assert len(seen) == 1 + CALLS
    (arrays, first, _), *others = seen
    assert not np.array_equal(arrays["0"], first), "nothing was changed, so nothing is tried"
    assert all(np.array_equal(before, first) for _, before, _ in others)
    assert np.array_equal(theirs["0"], first)
    assert not any(np.shares_memory(theirs["0"], array) for _, _, array in seen)


def test_codes_are_those_of_binned_pixels(monkeypatch):
    told = []

    def planned(parameters):
        told.append(parameters.gain)
        return plan_quantiser(parameters)

    monkeypatch.setattr(quantise_step, "plan_quantiser", planned)
    assert len(list(kernel_cases(np.zeros((4, 32, 32), np.uint16), "quantise"))) == 1
    assert told == [1 / 4]


@pytest.mark.parametrize(
    ("name", "bytes_a_pixel"),
    [
        # The image, and what is kept, read and written: two sums of 8 bytes; 2, 2 and 8 of maximum, minimum and sum.
        ("moments", 2 + 2 * 16),
        ("time_projections", 2 + 2 * 12),
        # The raw frame; for every 4 pixels one of level 0 and one of the maximum over z. There are no further levels.
        ("lane, numbers, bin 2", 2 + 2 * 2 * (2 / 4)),
        # And a gain of 2 bytes a pixel, and an addend of 2 a cell.
        ("lane, maps, bin 2", 2 + 2 * 2 * (2 / 4) + 2 + 2 / 4),
    ],
)
def test_the_floor_counts_all_that_has_to_move(name, bytes_a_pixel):
    frames = np.random.default_rng(0).poisson(300, (4, 512, 512)).astype(np.uint16)
    (case,) = kernel_cases(frames, name)
    pixels = frames[0].size if name.startswith("lane") else frames[0].size / 4**2
    # The projections along y and x are lines.
    assert case.moved_bytes / case.frames / pixels == pytest.approx(bytes_a_pixel, rel=0.01)


def test_only_some():
    frames = np.zeros((4, 32, 32), np.uint16)
    assert [case.name for case in kernel_cases(frames, "lane, maps")] == ["lane, maps, bin 2"]


def test_figures_are_by_frame_and_the_floor_is_what_memory_takes(monkeypatch):
    now = iter(np.arange(0, 1000.0, 1.0))
    monkeypatch.setattr("octostream.benchmarks.kernel_case.perf_counter", lambda: next(now))
    result = measure(KernelCase("x", 4, 8_000_000, lambda: None, {"slow": lambda: None}), 0.0, 1e6)
    assert result == KernelResult("x", 250.0, 2.0, 2e6 / 0.25 / 1e9, 0.125, {"slow": 250.0}, "")
    assert result.ratios == {"slow": 1.0}
    assert kernel_rows([result])[1] == ("  slow", "250.00", "", "", "", "1.0")


@pytest.mark.system
def test_the_command(lattice, tmp_path):
    (tmp_path / lattice.name).symlink_to(lattice)
    command = [sys.executable, "-m", "octostream", "bench", "kernels", "--size", "64x64", "--seconds", "0.01", "--json"]
    environment = {**os.environ, "OCTOSTREAM_CACHE": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["size"] == [64, 64]
    assert facts["copy_gb_s"] > 0
    first = facts["results"][0]
    assert first["name"] == "lane, numbers, bin 2"
    assert first["ratios"]["NumPy"] == pytest.approx(first["rivals_ms"]["NumPy"] / first["ms"])
    assert "theirs/ours" in done.stderr
