"""Tiles follow the published formula, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octostream.acquire.sources.frame_size import parse_size
from octostream.acquire.sources.tiling import Tiling
from octostream.stream.errors import UsageError


@settings(deadline=None)
@given(
    st.integers(1, 30),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.data(),
)
def test_every_pixel_is_the_formula(
    depth: int, field: tuple[int, int], sensor: tuple[int, int], data: st.DataObject
) -> None:
    h, w = field
    stack = np.arange(depth * h * w, dtype=np.uint16).reshape(depth, h, w)
    z = data.draw(st.integers(0, depth - 1))
    out = np.full(sensor, 65535, np.uint16)
    Tiling(depth, field, sensor).compose(z, lambda plane: stack[plane], out)
    y, x = np.indices(sensor)
    assert np.array_equal(out, stack[(z + 7 * (y // h) + 13 * (x // w)) % depth, y % h, x % w])


def test_neighbours_show_other_planes_in_the_real_geometry() -> None:
    tiling = Tiling(88, (320, 256), (2048, 2048))
    shift = {(y.start // 320, x.start // 256): s for s, y, x in tiling.tiles}
    assert len(shift) == 7 * 8
    for (i, j), s in shift.items():
        around = {(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} - {(i, j)}
        assert all(shift[at] != s for at in around if at in shift)


@settings(deadline=None)
@given(st.integers(1, 32768), st.integers(1, 32768))
def test_sizes_are_height_by_width(height: int, width: int) -> None:
    assert parse_size(f"{height}x{width}") == (height, width)
    assert parse_size(f" {height}X{width} ") == (height, width)


@pytest.mark.parametrize("text", ["", "2048", "2048x", "0x5", "5x0", "-1x5", "2048x2048x3", "99999x1", "1e3x5", "٣x٣"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a frame size: give height x width"):
        parse_size(text)
