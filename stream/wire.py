"""Messages to bytes and back: a msgpack header and, for frames and maps, one raw payload.

Decoding trusts nothing: sizes are checked before anything is built, every field is checked by type, unknown keys are
tolerated (a newer party may say more), and whatever is wrong comes out as a ``WireError`` that names it.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgpack

from . import messages
from .errors import UsageError, WireError
from .messages import PROTOCOL_VERSION, Message, Peer
from .model import Loss, Pixel, Plan
from .ranges import Ranges

#: No header needs more; a larger one is refused unread.
MAX_HEADER_BYTES = 2**20
MAX_TEXT = 64 * 2**10
#: Maps of JSON types (recipes, ledgers, stage reports) are nested at most this deep.
MAX_DEPTH = 32
#: No error text is longer: it goes into a log line and back to the sender.
MAX_ERROR = 300

Buffer = bytes | bytearray | memoryview


def encode(message: Message) -> list[Buffer]:
    """Give the parts of a message: header, and payload where the message has one.

    Parameters
    ----------
    message : Message
        Its payload is not copied.

    Returns
    -------
    list of buffer
        One or two parts.
    """
    kind = type(message)
    header: dict[str, Any] = {"v": PROTOCOL_VERSION, "type": kind.__name__}
    for name, _ in _fields(kind):
        if name != "payload":
            header[name] = _plain(getattr(message, name))
    payload = getattr(message, "payload", None)
    if payload is None:
        return [_pack(header)]
    header["nbytes"] = memoryview(payload).nbytes
    return [_pack(header), payload]


def decode(parts: Sequence[Buffer]) -> Message:
    """Read a message.

    Parameters
    ----------
    parts : sequence of buffer
        As received; the payload is not copied.

    Raises
    ------
    WireError
        Naming what is wrong with it.
    """
    if not 1 <= len(parts) <= 2:
        raise WireError(f"message has {len(parts)} parts, not 1 or 2")
    header = _header(parts[0])
    name_of_kind = header.get("type")
    kind = _kinds().get(name_of_kind) if isinstance(name_of_kind, str) else None
    if kind is None:
        shown = name_of_kind[:40] if isinstance(name_of_kind, str) else type(name_of_kind).__name__
        raise WireError(f"message type {shown!r} is unknown")
    values: dict[str, Any] = {}
    for name, read in _fields(kind):
        if name == "payload":
            values[name] = _payload(header, parts)
        elif name in header:
            values[name] = _read(read, header[name], f"{kind.__name__}.{name}")
        elif name in _required(kind):
            raise WireError(f"{kind.__name__} lacks {name!r}")
    if len(parts) == 2 and "payload" not in values:
        raise WireError(f"{kind.__name__} carries a payload")
    return kind(**values)


def _pack(header: dict[str, Any]) -> bytes:
    return typing.cast("bytes", msgpack.packb(header))


def _header(part: Buffer) -> dict[str, Any]:
    nbytes = memoryview(part).nbytes
    if nbytes > MAX_HEADER_BYTES:
        raise WireError(f"header of {nbytes} bytes is over the limit of {MAX_HEADER_BYTES}")
    try:
        header = msgpack.unpackb(part, raw=False, strict_map_key=True, max_ext_len=0)
    except (ValueError, msgpack.UnpackException, TypeError) as error:
        raise WireError(f"header is not msgpack ({type(error).__name__})") from error
    except RecursionError as error:
        raise WireError("header is nested too deep") from error
    if not isinstance(header, dict):
        raise WireError("header is not a map")
    version = header.get("v")
    if type(version) is not int or version != PROTOCOL_VERSION:
        shown = version if type(version) is int else type(version).__name__
        raise WireError(
            f"protocol version {shown} was spoken, this side speaks {PROTOCOL_VERSION}",
            "use the same release of octostream on both sides",
        )
    return header


def _payload(header: Mapping[str, Any], parts: Sequence[Buffer]) -> memoryview:
    if len(parts) != 2:
        raise WireError(f"{header['type']} lacks its payload")
    payload = memoryview(parts[1]).cast("B")
    said = header.get("nbytes")
    if type(said) is not int or said != payload.nbytes:
        shown = said if type(said) is int else type(said).__name__
        raise WireError(f"payload has {payload.nbytes} bytes, its header says {shown}")
    return payload


def _read(read: Callable[[Any], Any], value: Any, where: str) -> Any:
    try:
        return read(value)
    except UsageError as error:
        raise WireError(f"{where}: {error}"[:MAX_ERROR]) from error
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
        raise WireError(f"{where} is not valid ({error})"[:MAX_ERROR]) from error


# --- fields: how each type is written and read ------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Give what msgpack can carry."""
    if isinstance(value, Ranges):
        return value.spans
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise ValueError("a whole number from 0 to 2^64 - 1 is needed")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError("a finite number is needed")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is needed")
    if len(value) > MAX_TEXT:
        raise ValueError(f"text of {len(value)} characters")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is needed")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("a map is needed")
    return value


def _json_map(value: Any) -> dict[str, Any]:
    """Read a map that ends up in a JSON file or answer: refused here is what could not be written there."""
    _json(_mapping(value), MAX_DEPTH)
    return value


def _json(value: Any, levels: int) -> None:
    if not levels:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            _text(key)
            _json(item, levels - 1)
    elif isinstance(value, list):
        for item in value:
            _json(item, levels - 1)
    elif isinstance(value, str):
        _text(value)
    elif isinstance(value, float):
        _number(value)
    elif not (value is None or isinstance(value, int)):
        raise TypeError(f"{type(value).__name__} is no JSON type")


def _ranges(value: Any) -> Ranges:
    spans = tuple((_whole(first), _whole(last)) for first, last in value)
    if any(first > last for first, last in spans):
        raise ValueError("a range ends before it begins")
    return Ranges.join(spans)


def _loss(value: Any) -> Loss:
    loss = Loss(_whole(value["first"]), _whole(value["last"]), _text(value["where"]), _text(value["why"]))
    if loss.first > loss.last:
        raise ValueError("a range ends before it begins")
    return loss


def _plan(value: Any) -> Plan:
    if len(value["shape"]) != 5 or len(value["axes"]) > 5:
        raise ValueError("five sizes (t, c, z, y, x) and at most five axes are needed")
    shape = tuple(_whole(n) for n in value["shape"])
    pixel = value.get("pixel") or {}
    return Plan(
        shape=typing.cast("tuple[int, int, int, int, int]", shape),
        axes=_text(value["axes"]),
        rate_hz=_optional(value.get("rate_hz")),
        exposure_ms=_optional(value.get("exposure_ms")),
        pixel=Pixel(*(_optional(pixel.get(name)) for name in ("z_um", "y_um", "x_um"))),
        channels=tuple(_text(c) for c in value.get("channels", ())),
        source=_text(value.get("source", "")),
        metadata={_text(k): _metadatum(v) for k, v in _mapping(value.get("metadata", {})).items()},
        whole_stacks=_truth(value.get("whole_stacks", False)),
    )


def _metadatum(value: Any) -> str | float | int | bool:
    if isinstance(value, str):
        return _text(value)
    if type(value) in (int, bool) or (type(value) is float and math.isfinite(value)):
        return value
    raise TypeError("metadata are texts, finite numbers or truth values")


def _optional(value: Any) -> float | None:
    return None if value is None else _number(value)


_READERS: dict[Any, Callable[[Any], Any]] = {
    int: _whole,
    float: _number,
    str: _text,
    bool: _truth,
    Ranges: _ranges,
    Plan: _plan,
    Loss: _loss,
    Peer: lambda v: Peer(_text(v["worker"]), _text(v["endpoint"])),
}


def _reader(hint: Any) -> Callable[[Any], Any]:
    """Give the reader of an annotated field type."""
    if hint in _READERS:
        return _READERS[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        item = _reader(args[0])
        return lambda value: tuple(item(v) for v in _sequence(value))
    if origin is tuple:
        items = [_reader(a) for a in args]
        return lambda value: tuple(r(v) for r, v in zip(items, _sequence(value), strict=True))
    if origin is typing.get_origin(Mapping[str, int]) and args[1] in (int, str):
        item = _reader(args[1])
        return lambda value: {_text(k): item(v) for k, v in _mapping(value).items()}
    if origin is typing.get_origin(Mapping[str, Any]):
        return _json_map
    if origin is types.UnionType:  # the payload, which is not in the header
        return lambda value: value
    raise TypeError(f"no reader for {hint!r}")


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError("a list is needed")
    return list(value)


@cache
def _kinds() -> dict[str, type[Any]]:
    return {kind.__name__: kind for kind in typing.get_args(messages.Message)}


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((f.name, _reader(hints[f.name])) for f in dataclasses.fields(kind))


@cache
def _required(kind: type[Any]) -> frozenset[str]:
    missing = dataclasses.MISSING
    return frozenset(f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing)
