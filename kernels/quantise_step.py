"""The step `quantise`: codes in the place of the counts of all levels and projections.

All of them have one table, that of the noise of level 0: then a code means the same at every zoom. A mean of more
pixels has less noise, so the codes of level k are 2ᵏ of its own sigma apart, not one. Mean projections stay counts for
that reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import RecipeError
from ..stream.model import Block, Plan, Product
from ..stream.tables import Rows
from .quantise import Quantise, Quantiser, plan_quantiser
from .step import Arrays, GpuForm, Planned, Setting, Step, part_size


class Codes(Protocol):
    """What puts codes in the place of counts, as `Quantiser`."""

    @property
    def codes(self) -> NDArray[Any]:
        """Code of every count."""
        ...

    def quantise(self, pixels: NDArray[np.uint16], out: NDArray[Any]) -> None:
        """Quantise an array in host memory."""
        ...


class QuantiseReducer:
    """Puts codes in the place of counts, in one block after another.

    Parameters
    ----------
    plan : Plan
    products : tuple of Product
        What is quantised.
    quantiser : Quantiser
        Or what has its codes and its verb.
    """

    def __init__(self, plan: Plan, products: tuple[Product, ...], quantiser: Codes) -> None:
        self._quantiser = quantiser
        self._paths = tuple(product.path for product in products)
        # Codes of 16 bits are written over the counts.
        narrow = products if quantiser.codes.dtype == np.uint8 else ()
        self._codes: dict[str, NDArray[Any]] = {p.path: np.full(part_size(p, plan), 0, np.uint8) for p in narrow}

    def begin(self, block: Block) -> None:
        """Start a block."""

    def add(self, at: int, raw: NDArray[np.uint16], level0: NDArray[np.uint16]) -> None:
        """Wait: other steps need the counts."""

    def finish(self, arrays: Arrays, present: NDArray[np.bool_]) -> Mapping[str, Rows]:
        """Put the codes in the place of the counts."""
        for path in self._paths:
            counts = arrays[path]
            codes = self._codes[path][: counts.size].reshape(counts.shape) if path in self._codes else counts
            self._quantiser.quantise(counts, codes)
            arrays[path] = codes
        return {}


def _plan(parameters: Quantise, setting: Setting) -> Planned:
    if parameters.offset > setting.pedestal:
        what = f"quantise.offset is {parameters.offset:g}, and pixels without light have {setting.pedestal:g} counts"
        raise RecipeError(what, "give an offset some counts below encode.pedestal, so that their noise survives")
    quantiser = plan_quantiser(parameters.of_cells(setting.noise))
    counts = tuple(product for product in setting.products if _is_quantised(product))
    codes = tuple(_product(product, quantiser) for product in counts)
    held = sum(part_size(p, setting.plan) for p in codes) * np.dtype(np.uint16).itemsize
    # Means stay in counts, and of codes nobody can compute them again.
    apart = tuple(replace(p, follows="") for p in setting.products if p.follows == "level 0" and not _is_quantised(p))
    return Planned(
        (*codes, *apart),
        reducer=lambda: QuantiseReducer(setting.plan, codes, quantiser),
        on_gpu=GpuForm("quantise", (setting.plan, codes, quantiser.parameters)),
        changes=True,
        # The counts, which are no product any more, beside their codes.
        held_bytes=held if quantiser.codes.dtype == np.uint8 else 0,
    )


def _is_quantised(product: Product) -> bool:
    return product.path.isdigit() or (product.path.startswith("projections/") and not product.path.endswith("-mean"))


def _product(product: Product, quantiser: Quantiser) -> Product:
    # A mean of codes is not the code of the mean. But the larger count has the larger code: projections still follow.
    return replace(
        product,
        dtype=quantiser.codes.dtype.name,
        follows="" if product.path.isdigit() else product.follows,
        meaning="codes of counts; the attribute quantise tells how to bring the counts back",
        attributes={**product.attributes, "quantise": quantiser.parameters.to_json()},
    )


STEP: Final = Step("quantise", "map", "square-root codes in the place of counts, one sigma apart", Quantise, _plan)
