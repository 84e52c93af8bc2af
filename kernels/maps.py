"""Calibration maps and hot-pixel lists from files: TIFF, NPY, MAT, CSV."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
import xxhash
from numpy.typing import NDArray

from ..stream.errors import RecipeError

HOT_PIXELS: Final = "hot_pixels.pixels"
GAIN: Final = "calibrate.gain"
_FORMS: Final = ".tif, .tiff, .npy or .mat"


def read_map(key: str, path: Path, frame_shape: tuple[int, int]) -> NDArray[Any]:
    """Read the map of a parameter and check it.

    Parameters
    ----------
    key : str
        ``"calibrate.offset"``, ``"calibrate.gain"`` or ``"hot_pixels.pixels"``.
    path : Path
        ``.tif``/``.tiff`` (one page), ``.npy``, or ``.mat`` with one 2-D numeric variable. Hot pixels also from
        ``.csv``/``.txt`` with one ``y,x`` a line (a heading may name the columns in the other order; ``#`` starts a
        comment), or from an ``.npy`` or ``.mat`` of whole numbers of shape (n, 2); any other array is a mask of the
        frame's shape, listed where it is not 0.
    frame_shape : tuple of int
        Raw frame (y, x), pixels.

    Returns
    -------
    float32 (y, x), or int32 (n, 2) sorted for hot pixels

    Raises
    ------
    RecipeError
        If the file is missing, unreadable, of another kind or shape, or holds values that cannot be used.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise RecipeError(f"{key} names '{path}', which is not there", "give a number or the path of a file")
    if key == HOT_PIXELS and suffix in (".csv", ".txt"):
        return check_map(key, _read_csv(path), frame_shape, path.name)
    if suffix not in (".tif", ".tiff", ".npy", ".mat"):
        forms = f"{_FORMS}, .csv or .txt" if key == HOT_PIXELS else _FORMS
        raise RecipeError(f"{key} names '{path.name}', whose kind is not known", f"give a {forms} file")
    array = _read_array(path, suffix)
    if key == HOT_PIXELS and not (array.dtype.kind in "iu" and array.ndim == 2 and array.shape[1] == 2):
        _check_shape(key, array, frame_shape, path.name)
        array = np.argwhere(array)
    return check_map(key, array, frame_shape, path.name)


def check_map(key: str, array: NDArray[Any], frame_shape: tuple[int, int], file: str) -> NDArray[Any]:
    """Check a map against the frame, and give it in the type that is computed with.

    Parameters
    ----------
    key : str
        Parameter it is for.
    array : numeric (y, x), or (n, 2) for hot pixels
    frame_shape : tuple of int
        Raw frame (y, x), pixels.
    file : str
        Name for messages.

    Returns
    -------
    float32 (y, x), or int32 (n, 2) sorted for hot pixels

    Raises
    ------
    RecipeError
        If the shape differs, a value is not finite, a gain is not above 0, or a pixel lies outside the frame.
    """
    if key == HOT_PIXELS:
        return _check_pixels(array, frame_shape, file)
    _check_shape(key, array, frame_shape, file)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        raise RecipeError(f"{key} map '{file}' has {_count(bad)} not finite", "replace NaN and infinity by numbers")
    if key == GAIN and (values <= 0).any():
        raise RecipeError(
            f"{key} map '{file}' has {_count(values <= 0)} not above 0",
            "give those pixels the map's median, and list them as hot pixels",
        )
    return values


def digest(array: NDArray[Any]) -> str:
    """Give the xxh3-64 of an array's bytes, 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(np.ascontiguousarray(array).data)


def _count(bad: NDArray[np.bool_]) -> str:
    y, x = np.argwhere(bad)[0].tolist()
    return f"{np.count_nonzero(bad)} values (first at y {y}, x {x})"


def _check_shape(key: str, array: NDArray[Any], frame_shape: tuple[int, int], file: str) -> None:
    if array.dtype.kind not in "biuf":
        raise RecipeError(f"{key} map '{file}' holds {array.dtype}, not numbers", "give real numbers")
    if array.shape != frame_shape:
        found, needed = " x ".join(map(str, array.shape)) or "one number", f"{frame_shape[0]} x {frame_shape[1]}"
        raise RecipeError(f"{key} map '{file}' is {found}, the frames are {needed}", f"give a map of {needed} (y x x)")


def _check_pixels(array: NDArray[Any], frame_shape: tuple[int, int], file: str) -> NDArray[np.int32]:
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise RecipeError(f"hot pixel list '{file}' is not n rows of y, x", "give whole numbers, one pixel a row")
    outside = ((array < 0) | (array >= np.array(frame_shape))).any(axis=1)
    if outside.any():
        y, x = array[outside][0].tolist()
        size = f"{frame_shape[0]} x {frame_shape[1]}"
        raise RecipeError(f"hot pixel list '{file}' has y {y}, x {x} outside the {size} frame", "list y, x from 0")
    return np.unique(array.astype(np.int32), axis=0)


def _read_array(path: Path, suffix: str) -> NDArray[Any]:
    try:
        if suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        if suffix == ".mat":
            return _read_mat(path)
        return tifffile.imread(path)
    except RecipeError:
        raise
    except Exception as error:  # the three readers raise nearly anything on a damaged file
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RecipeError(f"map file '{path.name}' cannot be read ({reason})", f"give a {_FORMS} file") from error


def _read_mat(path: Path) -> NDArray[Any]:
    from scipy.io import loadmat, whosmat  # late: scipy takes 30 MB and 0.15 s, and most runs have no MAT file

    numeric = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
    found = whosmat(path)
    names = [name for name, shape, kind in found if kind in numeric and len(shape) == 2 and math.prod(shape) > 1]
    if len(names) != 1:
        has = f"{len(names)} 2-D numeric variables" + (f" ({', '.join(names)})" if names else "")
        raise RecipeError(f"map file '{path.name}' has {has}", "save the one map alone")
    return loadmat(path, variable_names=names)[names[0]]


def _read_csv(path: Path) -> NDArray[np.int64]:
    pixels: list[tuple[int, int]] = []
    swapped = False
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise RecipeError(f"hot pixel list '{path.name}' is not text", "give one y,x a line") from None
    for number, line in enumerate(lines, 1):
        fields = [field.strip() for field in line.partition("#")[0].split(",")]
        if fields == [""]:
            continue
        if not pixels and sorted(map(str.lower, fields)) == ["x", "y"]:
            swapped = fields[0].lower() == "x"
            continue
        if len(fields) != 2 or not all(re.fullmatch(r"[0-9]{1,9}", field) for field in fields):
            raise RecipeError(f"line {number} of hot pixel list '{path.name}' is '{line[:40]}'", "give one y,x a line")
        first, second = int(fields[0]), int(fields[1])
        pixels.append((second, first) if swapped else (first, second))
    return np.array(pixels, dtype=np.int64).reshape(-1, 2)
