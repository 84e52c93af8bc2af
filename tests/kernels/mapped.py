"""Recipes whose calibration is maps."""

from __future__ import annotations

from octostream.kernels.maps import digest
from octostream.kernels.recipe import Recipe


def mapped_recipe(maps, *overrides):
    """Give ``lightsheet`` with changes, referring to these arrays as one that was resolved from files does."""
    data = Recipe.load("lightsheet", overrides).to_json()
    for key, array in maps.items():
        step, name = key.split(".")
        data[step][name] = {"map": key, "file": f"{name}.npy", "xxh3": digest(array)}
    return Recipe.from_json(data)
