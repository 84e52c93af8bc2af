"""The simulated microscope is deterministic, and its camera behaves as a camera does."""

from __future__ import annotations

import itertools
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from octostream.acquire.source import SourceOptions
from octostream.acquire.sources.cells import FAINTEST, Cells
from octostream.acquire.sources.opening import open_source
from octostream.acquire.sources.sensor import PixelMaps, add_cell, draw_cells, expose, level_signals
from octostream.acquire.sources.simulated import Simulated
from octostream.acquire.sources.simulation import Simulation, parse_simulation
from octostream.stream.errors import UsageError

SMALL = Simulation(size=(96, 128), z=5, t=4, cells=20)


def frame(source: Simulated, number: int) -> NDArray[np.uint16]:
    out = np.empty(source.plan.frame_shape, np.uint16)
    source.fill(number, out)
    return out


def test_another_process_gives_the_same_frames() -> None:
    spec = "simulated:size=96x128,z=5,t=4,cells=20,seed=9"
    code = (
        "import numpy as np, zlib\n"
        "from octostream.acquire.sources.opening import open_source\n"
        f"source = open_source({spec!r})\n"
        "out = np.empty((96, 128), np.uint16)\n"
        "source.fill(13, out)\n"
        "print(zlib.crc32(out))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    here = open_source(spec)
    out = np.empty((96, 128), np.uint16)
    here.fill(2, out)
    here.fill(13, out)
    assert int(ended.stdout) == zlib.crc32(out)


def test_frames_and_seeds_differ() -> None:
    one, two = Simulated(SMALL), Simulated(parse_simulation("size=96x128,z=5,t=4,cells=20,seed=2"))
    frames = [frame(one, n) for n in range(20)] + [frame(two, n) for n in range(20)]
    assert len({f.tobytes() for f in frames}) == 40
    dark = Simulated(parse_simulation("size=96x128,z=5,t=4,cells=0"))  # without cells, too
    assert len({frame(dark, n).tobytes() for n in range(20)}) == 20


@settings(deadline=None)
@given(st.integers(-8, 12), st.integers(-8, 12), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_cell_is_cut_at_the_borders(top: int, left: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    cell = rng.integers(0, 40_000, (5, 4)).astype(np.uint16)
    out = rng.integers(0, 40_000, size).astype(np.uint16)
    wide = np.zeros((30, 30), np.int64)
    wide[10 : 10 + size[0], 10 : 10 + size[1]] = out
    wide[10 + top : 15 + top, 10 + left : 14 + left] += cell
    add_cell(cell, top, left, out)
    assert np.array_equal(out, np.minimum(wide, 65535)[10 : 10 + size[0], 10 : 10 + size[1]])


def test_the_background_is_offset_photon_noise_and_read_noise() -> None:
    simulation = Simulation(size=(256, 256), cells=0, background=20.0, offset=100.0, gain=2.0, hot=0.0)
    exposures = expose(simulation).astype(np.float64)
    maps = PixelMaps.draw(simulation)
    x = np.linspace(-1, 1, 256)
    photons = 20.0 * (0.4 + 0.6 * np.exp(-2 * x**2))
    mean, variance = exposures.mean(axis=(0, 1)), exposures.var(axis=0, ddof=1).mean(axis=0)
    assert np.allclose(mean, 100.0 + 2.0 * photons, atol=0.8)
    # Poisson variance gain²·photons, read noise, and 1/12 of rounding to whole counts.
    expected = 4.0 * photons + (maps.noise.astype(np.float64) ** 2).mean(axis=0) + 1 / 12
    assert np.allclose(variance, expected, rtol=0.15)
    assert np.isclose(variance.mean(), expected.mean(), rtol=0.02)


def test_read_noise_has_a_tail_and_hot_pixels_stay_where_they_are() -> None:
    simulation = Simulation(size=(256, 256), cells=0, hot=0.01)
    maps = PixelMaps.draw(simulation)
    assert np.median(maps.noise) == pytest.approx(1.4 * 2.2, rel=0.03)
    assert np.quantile(maps.noise, 0.999) > 2.5 * np.median(maps.noise)
    source = Simulated(simulation)
    hot = [set(np.flatnonzero(frame(source, n) > 600)) for n in (0, 1, 2)]
    assert len(hot[0]) > 200
    assert len(hot[0] & hot[1] & hot[2]) > 0.9 * len(hot[0])


def test_cells_appear_where_the_truth_says() -> None:
    simulation = Simulation(size=(200, 220), z=1, t=400, cells=3, background=0.0, read_noise=0.0, hot=0.0, seed=4)
    source = Simulated(simulation)
    empty = Simulated(parse_simulation("size=200x220,z=1,t=400,cells=0,background=0,read_noise=0,hot=0,seed=4"))
    for number in (0, 150, 399):
        light = frame(source, number).astype(np.int64) - frame(empty, number)
        seen = source.cells.visible(number, 0, 0)
        near = np.zeros(light.shape, bool)
        for _, y, x in source.cells.positions(number)[seen.cell]:
            box = (slice(max(0, int(y) - 24), int(y) + 24), slice(max(0, int(x) - 24), int(x) + 24))
            near[box] = True
            assert light[box].max() > 10
        assert len(seen.cell) > 0
        assert not light[~near].any()


def test_signals_are_those_of_the_levels_within_photon_noise() -> None:
    simulation = Simulation(photons=2000.0, gain=1.0)
    stamps = draw_cells(simulation).astype(np.float64)
    totals = stamps.sum(axis=(-1, -2)).mean(axis=(0, 2))
    assert np.allclose(totals / totals[-1], level_signals(), rtol=0.02)
    # Two draws of a cell differ by photon noise: variance of the difference is twice the mean.
    pair = stamps[:, -1, 0] - stamps[:, -1, 1]
    assert pair.var() == pytest.approx(2 * stamps[:, -1, :2].mean(), rel=0.1)


def test_counts_saturate_where_too_many_cells_meet() -> None:
    crowded = Simulated(Simulation(size=(40, 40), z=1, t=2, cells=500, photons=20_000.0, gain=10.0))
    out = frame(crowded, 1)
    assert out.max() == 65535
    assert np.median(out) > 30_000  # wrapped sums would be anywhere


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 40), st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_cells_never_leave_the_volume_and_never_jump(number: int, z: int, size: tuple[int, int]) -> None:
    cells = Cells.scatter(Simulation(size=size, z=z, cells=30))
    here, next_ = cells.positions(number), cells.positions(number + 1)
    assert (here >= 0).all()
    assert (here <= (z, *size)).all()
    # 2⁴⁰ frames of 0.1 pixel leave float64 a resolution of about 1e-5 pixel.
    assert (np.abs(next_ - here) <= np.abs(cells.velocity) + 1e-4).all()
    seen = cells.visible(number, 0, z // 2)
    assert ((seen.signal >= FAINTEST) & (seen.signal <= 1.0)).all()


def test_cells_blink() -> None:
    cells = Cells.scatter(Simulation(size=(100, 100), z=1, cells=1, seed=3))
    signal = [cells.visible(n, 0, 0).signal[0] for n in range(700)]
    assert max(signal) > 2 * min(signal)
    assert sum(later > 1.5 * earlier for earlier, later in itertools.pairwise(signal)) >= 1


@pytest.mark.parametrize("size", ["1x1", "1x70", "17x1", "3x3"])
def test_tiny_sensors(size: str) -> None:
    source = open_source(f"simulated:size={size},z=2,t=3,hot=0.1")
    out = np.zeros(source.plan.frame_shape, np.uint16)
    for number in range(6):
        source.fill(number, out)
    assert out.min() > 50


def test_settings_reach_the_plan() -> None:
    plan = open_source("simulated: size = 32x48, z=3 ,t=2,c=4,seed=7,cells=1", SourceOptions(rate_hz=9.0)).plan
    assert plan.shape == (2, 4, 3, 32, 48)
    assert plan.axes == "tczyx"
    assert plan.rate_hz == 9.0
    assert plan.source == "simulated cells, 32x48, seed 7"
    assert parse_simulation("") == Simulation()
    assert parse_simulation("gain=0.5,offset=7").gain == 0.5
    assert open_source("simulated:size=8x8,z=1,t=1").plan.axes == "yx"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=red", "no setting 'colour=red': use key=value with size, t, c, z, seed, cells, "),
        ("z", "no setting 'z': use key=value with"),
        ("z=0", "z=0 is out of range: give a whole number from 1 to"),
        ("z=2.5", "z=2.5 is out of range"),
        ("gain=nan", "gain=nan is out of range: give a number from 0.01 to 10"),
        ("gain=big", "gain=big is out of range"),
        ("cells=-1", "cells=-1 is out of range"),
        ("size=12", "simulated setting size '12' is not a frame size"),
        ("size=9000x9", "is too large: give at most 8192x8192"),
        ("z=1,z=2", "'z' is given twice"),
    ],
)
def test_wrong_settings_are_refused_naming_the_right_ones(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(f"simulated:{text}")


@pytest.mark.parametrize("options", [{"tile": (8, 8)}, {"loop": 2}, {"axes": "t"}])
def test_options_for_recordings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"is for recordings, not for a simulation: set it up instead"):
        open_source("simulated:size=8x8", SourceOptions(**options))
