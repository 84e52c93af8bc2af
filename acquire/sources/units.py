"""Lengths and durations as metadata write them."""

from __future__ import annotations

import math

_MICROMETRES = {
    "pm": 1e-6,
    "å": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25400.0,
}
_MILLISECONDS = {"ns": 1e-6, "µs": 1e-3, "us": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4}


def micrometres(value: object, unit: object) -> float | None:
    """Convert a length; None where the value is no positive number or the unit is no length."""
    return _convert(value, unit, _MICROMETRES)


def milliseconds(value: object, unit: object) -> float | None:
    """Convert a duration; None where the value is no positive number or the unit is no duration."""
    return _convert(value, unit, _MILLISECONDS)


def _convert(value: object, unit: object, factors: dict[str, float]) -> float | None:
    # ImageJ writes the micro sign as a six-character escape; the Greek mu looks like it.
    name = str(unit).strip().lower().replace("\\u00b5", "µ").replace("μ", "µ").replace("metre", "meter")
    factor = factors.get(name)
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number * factor if factor and math.isfinite(number) and number > 0 else None
