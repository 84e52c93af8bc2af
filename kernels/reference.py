"""The lightsheet recipe composed from the float64 references, over all frames at once: slow, and plainly right."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import saturation
from .binning import bin_reference
from .calibrate import calibrate_reference
from .constants import Constants
from .encode import encode_reference
from .hot_pixels import heal_reference
from .projections import projection_name, projections_reference
from .pyramid import halve_reference, level_shapes
from .recipe import Recipe
from .saturation import saturation_reference


def reduce_reference(
    recipe: Recipe, frames: NDArray[np.uint16], maps: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Reduce a whole acquisition with NumPy in float64.

    Parameters
    ----------
    recipe : Recipe
        Resolved.
    frames : uint16 (t, c, z, y, x), raw counts
    maps : mapping
        Arrays that the recipe refers to, by ``"step.parameter"``.

    Returns
    -------
    dict
        Every product by path: levels (t, c, z, y', x'), ``projections/xy`` (t, c, y', x'), ``xz`` (t, c, z, x'), ``yz``
        (t, c, z, y'), and ``xy-min`` and the like;
        ``labels/saturation`` as level 0.

    Raises
    ------
    RecipeError
        If a map is missing or does not fit the frames.
    """
    constants = Constants.of(recipe, (frames.shape[-2], frames.shape[-1]), maps)
    calibrated = calibrate_reference(frames, constants.offset, constants.gain)
    for index in np.ndindex(frames.shape[:3]):
        calibrated[index] = heal_reference(calibrated[index], constants.hot_pixels)
    binned = bin_reference(calibrated, constants.factor, constants.mode)
    products: dict[str, NDArray[Any]] = {"0": encode_reference(binned, constants.pedestal)}
    size = products["0"].shape
    for level in range(1, len(level_shapes((size[-2], size[-1]), constants.until))):
        products[f"{level}"] = halve_reference(products[f"{level - 1}"])
    projections = projections_reference(products["0"], constants.modes)
    for axis, mode in product(constants.along, constants.modes):
        name = projection_name(axis, mode)
        products[f"projections/{name}"] = projections[name]
    if constants.saturation:
        products[saturation.PATH] = saturation_reference(frames, constants.factor, constants.saturation)
    return products
