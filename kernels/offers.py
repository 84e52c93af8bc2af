"""Steps that other packages offer by entry point: who offers them, and loading one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from ..stream.errors import RecipeError
from .recipe_file import HEADINGS
from .step import Step

#: Entry point group in which other packages offer steps.
GROUP: Final = "octostream.reductions"
#: A step's name is a table in TOML, the first part of an override and a folder of the store.
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Offer:
    """A step that another package offers.

    Attributes
    ----------
    name : str
    origin : str
        Package, its version, and where the step lies: ``"my-microscope 1.0 (my_microscope:STEP)"``.
    entry : EntryPoint
    """

    name: str
    origin: str
    entry: EntryPoint


@dataclass(frozen=True)
class Trouble:
    """An offered step that cannot be used.

    Attributes
    ----------
    name, origin : str
        As of an `Offer`.
    reason : str
        One clause.
    """

    name: str
    origin: str
    reason: str


def may_be_called(name: str) -> bool:
    """Tell whether a step can have a name."""
    return bool(_NAME.fullmatch(name)) and name not in HEADINGS


@cache
def offered() -> tuple[Offer, ...]:
    """Give what the installed packages offer, by name and then by package; looked for once."""
    found = [Offer(entry.name, _origin(entry), entry) for entry in entry_points(group=GROUP)]
    return tuple(sorted(found, key=lambda offer: (offer.name, offer.origin)))


def usable(taken: Collection[str]) -> tuple[dict[str, Offer], tuple[Trouble, ...]]:
    """Sort out the offers, without loading any.

    Parameters
    ----------
    taken : collection of str
        Names of octostream's own steps.

    Returns
    -------
    offers : dict
        By name.
    troubles : tuple of Trouble
        Offers whose name cannot be used, or belongs to another.
    """
    offers: dict[str, Offer] = {}
    troubles: list[Trouble] = []
    for offer in offered():
        reason = ""
        if offer.name in taken:
            reason = "octostream has a step of that name itself, and uses that"
        elif offer.name in offers:
            reason = f"{offers[offer.name].origin} offers a step of that name too, which is used"
        elif not may_be_called(offer.name):
            reason = "its name is not made of small letters, digits and underscores, or means something in a recipe"
        if reason:
            troubles.append(Trouble(offer.name, offer.origin, reason))
        else:
            offers[offer.name] = offer
    return offers, tuple(troubles)


def load(offer: Offer) -> Step:
    """Load a step of another package.

    Raises
    ------
    RecipeError
        If it cannot be loaded, or is no step that can be used.
    """
    try:
        step = offer.entry.load()
    except Exception as error:  # somebody else's package may raise anything
        what = f"step '{offer.name}' of {offer.origin} cannot be loaded ({type(error).__name__}: {error})"
        raise RecipeError(what.partition("\n")[0], "repair or uninstall that package") from error
    if not isinstance(step, Step) or step.name != offer.name or step.plan is None:
        what = f"entry point '{offer.name}' of {offer.origin} is no step of that name"
        raise RecipeError(what, "let it name an octostream.kernels.step.Step with a plan")
    try:
        for parameter in step.declared.values():
            parameter.kind.accept(parameter.default)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        what = f"step '{offer.name}' of {offer.origin} declares a parameter that cannot be used ({why})"
        raise RecipeError(what, "declare it with octostream.kernels.parameters.declared and a valid default") from error
    return step


def _origin(entry: EntryPoint) -> str:
    package = "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version} "
    return f"{package}({entry.value})"
