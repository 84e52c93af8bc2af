"""Steps from plain NumPy functions: what somebody writes who has a reduction of their own.

A function that raises an error, or gives something else than was announced, never loses a frame: its number is NaN, its
image blank (NaN, or 0 in whole numbers), its rows are absent, and the log of the worker says so once for each run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..stream.errors import RecipeError
from ..stream.model import Product
from ..stream.tables import Column, Table
from .guarded import Guarded
from .parameters import Parameters
from .plugin_reducers import FrameReducer, ImageReducer, RowsReducer, StackReducer
from .step import Planned, Setting, Step

_FRAME = Column("frame", "int64", "", "number of the frame")
_FIRST = Column("frame", "int64", "", "number of the frame, of the first of the stack where there is no z")


@dataclass(frozen=True)
class NoParameters(Parameters):
    """Nothing to be told."""


def frame_step(
    name: str,
    summary: str,
    function: Callable[..., Any],
    columns: Sequence[Column],
    parameters: type[Parameters] = NoParameters,
    *,
    of: Literal["raw", "level 0"] = "raw",
) -> Step:
    """Make a step that measures every frame: a table with a row a frame.

    Parameters
    ----------
    name : str
        Of step and table: small letters, digits, underscores.
    summary : str
        One line.
    function : callable
        ``function(frame)`` or, with parameters, ``function(frame, parameters)``: uint16 (y, x), read only, to one
        number, or as many as there are columns, in their order.
    columns : sequence of Column
        Name, type, unit and meaning of each number.
    parameters : type
        Subclass of `Parameters`, if it has any.
    of : str
        The ``"raw"`` frame, or ``"level 0"``: calibrated, binned, on the pedestal.

    Returns
    -------
    Step
    """
    table = Table(name, (_FRAME, *columns), summary)

    def plan(told: Parameters, setting: Setting) -> Planned:
        guarded = _guarded(name, function, told)
        return Planned((), (table,), lambda: FrameReducer(guarded, table, setting.plan, raw=of == "raw"))

    return Step(name, "map", summary, _named(parameters, name), plan)


def image_step(
    name: str,
    summary: str,
    function: Callable[..., Any],
    dtype: str,
    parameters: type[Parameters] = NoParameters,
    *,
    unit: str = "",
    label: bool = False,
) -> Step:
    """Make a step that makes an image of every frame.

    Parameters
    ----------
    name, summary, parameters
        As for `frame_step`; the product lies at ``name``, a label at ``labels/name``.
    function : callable
        ``function(level0)`` or ``function(level0, parameters)``: uint16 (y, x), read only, calibrated, binned, on the
        pedestal, to an image of the same size.
    dtype : str
        NumPy's name of the image's type.
    unit : str
        Of its values.
    label : bool
        Whether its values are marks, not intensities: 0 for background.

    Returns
    -------
    Step
    """

    def plan(told: Parameters, setting: Setting) -> Planned:
        level, guarded = _level0(name, setting), _guarded(name, function, told)
        product = Product(
            f"labels/{name}" if label else name,
            "tczyx",
            level.shape,
            dtype,
            level.factor_yx,
            shows="label" if label else "image",
            meaning=_meaning(summary, unit),
        )
        return Planned((product,), reducer=lambda: ImageReducer(guarded, product, setting.plan))

    return Step(name, "map", summary, _named(parameters, name), plan)


def stack_step(
    name: str,
    summary: str,
    function: Callable[..., Any],
    dtype: str,
    parameters: type[Parameters] = NoParameters,
    *,
    shape: Callable[..., tuple[int, int, int]] | None = None,
    unit: str = "",
) -> Step:
    """Make a step that makes an array of every stack, possibly of another shape.

    Parameters
    ----------
    name, summary, parameters, dtype, unit
        As for `image_step`.
    function : callable
        ``function(stack)`` or ``function(stack, parameters)``: uint16 (z, y, x), level 0, read only, to an array of
        three dimensions. Planes that were lost are 0.
    shape : callable, optional
        ``shape(size)`` or ``shape(size, parameters)``: from (z, y, x) of the stack to that of the array; the same if
        not given.

    Returns
    -------
    Step
        A run whose stacks do not fit into blocks is refused.
    """

    def plan(told: Parameters, setting: Setting) -> Planned:
        level, guarded, more = _level0(name, setting), _guarded(name, function, told), _more(told)
        size = level.shape[2:] if shape is None else tuple(map(int, shape(level.shape[2:], *more)))
        if len(size) != 3 or min(size) < 1:
            raise RecipeError(
                f"step '{name}' makes stacks of the size {size}", "change its parameters, or leave it out"
            )
        product = Product(
            name,
            "tczyx",
            (*level.shape[:2], *size),
            dtype,
            level.factor_yx,
            own="z" if size[0] != level.shape[2] else "",
            meaning=_meaning(summary, unit),
        )
        return Planned((product,), reducer=lambda: StackReducer(guarded, product, setting.plan))

    return Step(name, "stack", summary, _named(parameters, name), plan, whole_stacks=True)


def table_step(
    name: str,
    summary: str,
    function: Callable[..., Any],
    columns: Sequence[Column],
    parameters: type[Parameters] = NoParameters,
) -> Step:
    """Make a step that finds any number of things in every stack: a table with a row for each.

    Parameters
    ----------
    name, summary, parameters
        As for `frame_step`.
    function : callable
        ``function(stack)`` or ``function(stack, parameters)``: uint16 (z, y, x), level 0, read only, to a mapping from
        column name to array (n,). Planes that were lost are 0.
    columns : sequence of Column
        Without ``frame``, which is added: from a column ``z``, the plane from 0, if there is one. Positions in y and x
        are those of level 0; raw pixel = (level-0 pixel + 1/2) · factor - 1/2.

    Returns
    -------
    Step
        A run whose stacks do not fit into blocks is refused.
    """
    table = Table(name, (_FIRST, *columns), summary)

    def plan(told: Parameters, setting: Setting) -> Planned:
        _level0(name, setting)
        guarded = _guarded(name, function, told)
        return Planned((), (table,), lambda: RowsReducer(guarded, table, setting.plan))

    return Step(name, "stack", summary, _named(parameters, name), plan, whole_stacks=True)


def _level0(name: str, setting: Setting) -> Product:
    return setting.level(f"{name}.level", setting.levels[0].factor_yx)


def _guarded(name: str, function: Callable[..., Any], told: Parameters) -> Guarded:
    # One for a run in this process, so that its trouble is told once.
    return Guarded(name, function, *(_more(told) or (None,)))


def _more(told: Parameters) -> tuple[Parameters, ...]:
    return () if isinstance(told, NoParameters) else (told,)


def _named(parameters: type[Parameters], name: str) -> type[Parameters]:
    """Let messages about the parameters name the step."""
    if parameters is not NoParameters:
        parameters.step_name = name
    return parameters


def _meaning(summary: str, unit: str) -> str:
    return f"{summary}, {unit}" if unit else summary
