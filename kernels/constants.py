"""The values of a recipe for one frame size, with the arrays in place of their references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from .maps import HOT_PIXELS, check_map, digest
from .parameters import MapFile, MapReference
from .recipe import Recipe


@dataclass(frozen=True)
class Constants:
    """What the pass over the raw frame computes with; where a recipe leaves a step out, what does nothing.

    Attributes
    ----------
    offset : float, or float32 (y, x), counts
    gain : float, or float32 (y, x), per count
    hot_pixels : int32 (n, 2)
        (y, x) of each listed pixel.
    factor : int
        Side of a cell, raw pixels.
    mode : str
        How the pixels of a cell become one.
    pedestal : float
        Counts.
    until : int
        Largest side of the last pyramid level, pixels.
    along, modes : tuple of str
        Axes that the projections look along; what they make of the values there.
    saturation : int, counts
        From here on a raw pixel is marked as saturated; 0 if nothing is.
    """

    offset: float | NDArray[np.float32]
    gain: float | NDArray[np.float32]
    hot_pixels: NDArray[np.int32]
    factor: int
    mode: str
    pedestal: float
    until: int
    along: tuple[str, ...]
    modes: tuple[str, ...]
    saturation: int

    @classmethod
    def of(cls, recipe: Recipe, frame_shape: tuple[int, int], maps: Mapping[str, NDArray[Any]]) -> Constants:
        """Put the arrays in place of their references, and check them again: they may have come over the network.

        Parameters
        ----------
        recipe : Recipe
            Resolved.
        frame_shape : tuple of int
            Raw frame (y, x), pixels.
        maps : mapping
            Arrays by ``"step.parameter"``, as `Recipe.resolve` gives them.

        Returns
        -------
        Constants

        Raises
        ------
        RecipeError
            If an array is missing, is not the one referred to, or does not fit the frames.
        """
        return cls(
            offset=_constant(recipe, "calibrate.offset", frame_shape, maps, 0),
            gain=_constant(recipe, "calibrate.gain", frame_shape, maps, 1),
            hot_pixels=_constant(recipe, HOT_PIXELS, frame_shape, maps, ()),
            factor=recipe.values.get("bin.factor", 1),
            mode=recipe.values.get("bin.mode", "mean"),
            pedestal=float(recipe.values.get("encode.pedestal", 0)),
            until=recipe.values.get("pyramid.until", max(frame_shape)),
            along=recipe.values.get("projections.along", ()),
            modes=recipe.values.get("projections.modes", ()),
            saturation=recipe.values.get("saturation.level", 0),
        )


def _constant(
    recipe: Recipe, key: str, frame_shape: tuple[int, int], maps: Mapping[str, NDArray[Any]], without: Any
) -> Any:
    value = recipe.values.get(key, without)
    if isinstance(value, MapFile):
        raise RecipeError(f"{key} of recipe '{recipe.name}' is still a file", "resolve the recipe at the agent")
    if isinstance(value, MapReference):
        if key not in maps:
            raise RecipeError(f"{key} of recipe '{recipe.name}' needs the map '{value.file}'", "send it with the run")
        array = check_map(key, maps[key], frame_shape, value.file)
        if digest(array) != value.xxh3:
            raise RecipeError(f"{key} map '{value.file}' is not the one the recipe names", "send that map again")
        return array
    if isinstance(value, tuple):
        return check_map(key, np.array(value, np.int64).reshape(-1, 2), frame_shape, "inline")
    return value
