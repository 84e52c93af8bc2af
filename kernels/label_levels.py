"""Coarser levels of labels: a viewer that shows a coarse level of the image wants its labels at the same size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream.model import Plan, Product
from .compiled import entry
from .step import Arrays


def label_products(products: Sequence[Product]) -> tuple[Product, ...]:
    """Give the coarser levels of all labels that have the size of level 0, one for each level of the image.

    Parameters
    ----------
    products : sequence of Product
        Of a reduction.

    Returns
    -------
    tuple of Product
        ``labels/NAME/1`` and so on, of every label in turn, fine to coarse.
    """
    fine, *coarse = [p for p in products if p.path.isdigit()]
    labels = [p for p in products if p.shows == "label" and p.shape == fine.shape and not p.own]
    return tuple(
        replace(label, path=f"{label.path}/{level.path}", shape=level.shape, factor_yx=level.factor_yx)
        for label in labels
        for level in coarse
    )


class LabelLevels:
    """Makes the coarser levels of the labels of one block after another, in buffers of its own.

    Parameters
    ----------
    products : sequence of Product
        As `label_products` gives them.
    plan : Plan
    """

    def __init__(self, products: Sequence[Product], plan: Plan) -> None:
        frames = math.prod(plan.blocks.step)
        self._buffers = {p.path: np.full((frames, *p.shape[-2:]), 0, p.dtype) for p in products}

    def finish(self, arrays: Arrays) -> None:
        """Add the coarser levels to the arrays of a block, which hold the labels: the largest of each 2 × 2 pixels.

        So nothing that is labelled vanishes in a coarse level.
        """
        source: NDArray[Any] | None = None
        for path, buffer in self._buffers.items():
            label, _, level = path.rpartition("/")
            fine = arrays[label] if level == "1" else source
            assert fine is not None
            extent = fine.shape[:3]
            planes = fine.reshape(-1, *fine.shape[-2:])
            for k, plane in enumerate(planes):
                _halve(plane, buffer[k])
            source = arrays[path] = buffer[: len(planes)].reshape(*extent, *buffer.shape[-2:])


@entry
def _halve(labels: Any, out: Any) -> None:
    height, width = labels.shape
    for y in range(out.shape[0]):
        upper, lower, row = labels[2 * y], labels[min(2 * y + 1, height - 1)], out[y]
        for x in range(width // 2):
            row[x] = max(max(upper[2 * x], upper[2 * x + 1]), max(lower[2 * x], lower[2 * x + 1]))
        if width % 2:
            row[width // 2] = max(upper[width - 1], lower[width - 1])
