"""Messages that are well formed and mean, and bytes that are nearly messages; all from one seeded generator."""

from __future__ import annotations

import dataclasses
import random
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack
from octostream.stream import messages as m
from octostream.stream.errors import UsageError
from octostream.stream.model import Loss, Pixel, Plan
from octostream.stream.ranges import Ranges
from octostream.stream.wire import encode

KINDS: tuple[type[Any], ...] = typing.get_args(m.Message)
WHOLES = (0, 1, 2, 3, 7, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
TEXTS = ("", "r", "a/../b", "ä\n\x00\u2028", "x" * 300, "tcp://127.0.0.1:1", "tczyx")
#: Tags of msgpack that promise more than follows: long texts, bytes, extensions, lists and maps.
PROMISES = (b"\xdd\x7f\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\x00\x0f\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\xc9")


class Maker:
    """Makes random messages whose values are likely to matter.

    Parameters
    ----------
    rng : random.Random
        Where chance comes from.
    texts, wholes : sequence
        Values that mean something to the party that will read the messages.
    """

    def __init__(self, rng: random.Random, texts: Sequence[str] = (), wholes: Sequence[int] = ()) -> None:
        self.rng = rng
        self._texts = (*TEXTS, *texts)
        self._known_texts = tuple(texts)
        self._wholes = (*WHOLES, *wholes)
        self._known_wholes = tuple(wholes)

    def message(self, kind: type[Any] | None = None) -> Any:
        """Make a message of one type, or of any."""
        kind = kind or self.rng.choice(KINDS)
        hints = typing.get_type_hints(kind)
        return kind(**{f.name: self._value(hints[f.name], f.name) for f in dataclasses.fields(kind)})

    def _value(self, hint: Any, name: str) -> Any:
        if name == "payload":
            return memoryview(self.rng.randbytes(self.rng.choice((0, 1, 2, 18, 50))))
        if hint in self._SIMPLE:
            return self._SIMPLE[hint](self)
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin is tuple and args[-1] is Ellipsis:
            return tuple(self._value(args[0], "") for _ in range(self.rng.choice((0, 1, 1, 2, 5))))
        if origin is tuple:
            return tuple(self._value(a, "") for a in args)
        assert origin is typing.get_origin(Mapping[str, Any]), hint
        item = {int: self.whole, str: self.text}.get(args[1], self.json)
        return {self.text(): item() for _ in range(self.rng.randrange(3))}

    def whole(self) -> int:
        """Make a number from 0 to 2^64 - 1, mostly a known one."""
        if self._known_wholes and self.rng.random() < 0.6:
            return self.rng.choice(self._known_wholes)
        return self.rng.choice(self._wholes) if self.rng.random() < 0.8 else self.rng.getrandbits(64)

    def text(self) -> str:
        """Make a text, mostly a known one."""
        return self.rng.choice(self._known_texts if self._known_texts and self.rng.random() < 0.8 else self._texts)

    def json(self, levels: int = 3) -> Any:
        """Make anything that JSON has."""
        inner = (lambda: [self.json(levels - 1)], lambda: {self.text(): self.json(levels - 1)}) if levels else ()
        plain = (lambda: None, lambda: True, self.whole, self.number, self.text)
        return self.rng.choice((*plain, *inner))()

    def number(self) -> float:
        """Make a finite number."""
        return self.rng.choice((0.0, -1.0, 1e-308, 1e308, 0.5, 100.0))

    def ranges(self) -> Ranges:
        """Make a set of numbers, sometimes one that has 2^64 of them."""
        spans = ((self.whole(), self.whole()) for _ in range(self.rng.choice((0, 1, 1, 2, 9))))
        return Ranges.join((min(s), max(s)) for s in spans)

    def loss(self) -> Loss:
        """Make a loss of any length."""
        first, last = sorted((self.whole(), self.whole()))
        return Loss(first, last, self.text(), self.text())

    def plan(self) -> Plan:
        """Make a plan, odd but legal."""
        rng = self.rng
        for _ in range(100):
            shape = tuple(rng.choice((1, 1, 2, 3, 5, 40, 10**6)) for _ in range(5))
            some = (None, None, 1e-308, 0.02, 100.0, 1e308)
            try:
                return Plan(
                    shape,
                    axes=rng.choice(("tczyx", "tyx", "yx")),
                    rate_hz=rng.choice(some),
                    exposure_ms=rng.choice((*some, -1.0)),
                    pixel=Pixel(*(rng.choice((*some, 0.0, -2.0)) for _ in range(3))),
                    channels=tuple(self.text() for _ in range(shape[1])) if shape[1] < 4 and rng.random() < 0.5 else (),
                    source=self.text(),
                    metadata={self.text(): rng.choice((self.text(), self.whole(), self.number(), False))},
                )
            except UsageError:
                continue
        return Plan((1, 1, 1, 1, 1))

    _SIMPLE: typing.ClassVar[Mapping[Any, Callable[[Maker], Any]]] = {
        int: whole,
        str: text,
        float: number,
        bool: lambda self: self.rng.random() < 0.5,
        Ranges: ranges,
        Loss: loss,
        Plan: plan,
        m.Peer: lambda self: m.Peer(self.text(), self.text()),
    }


def parts_of(message: Any) -> list[bytes]:
    """Give the bytes of a message."""
    return [bytes(part) for part in encode(message)]


def mutated(rng: random.Random, parts: Sequence[bytes], other: Sequence[bytes] = ()) -> list[bytes]:
    """Change a message a little: a value of its header, some of its bytes, or its parts.

    Parameters
    ----------
    rng : random.Random
        Where chance comes from.
    parts : sequence of bytes
        The message.
    other : sequence of bytes
        Another one, to mix in.
    """
    header, rest = (parts[0], list(parts[1:])) if parts else (b"", [])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if rng.random() < 0.85:  # plain bytes would mostly break the header, and nothing behind it would be reached
            header = _other_value(rng, header)
        else:
            header = _other_bytes(rng, header, other[0] if other else b"\xff")
    if rng.random() < 0.1:
        rest = rng.choice(([], [b""], [b"x" * rng.randrange(40)], [*rest, *rest, *other[1:]], list(other[1:])))
    return [header, *rest]


def _other_value(rng: random.Random, header: bytes) -> bytes:
    try:
        plain = msgpack.unpackb(header, strict_map_key=False)
        holders = [h for h in _holders(plain) if h]
        if not holders:
            return header
        holder = rng.choice(holders)
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
        maker = Maker(rng)
        same = {int: maker.whole, str: maker.text, float: maker.number}.get(type(holder[key]), maker.json)
        new = (
            *(same, same, same, maker.json),
            lambda: rng.choice((-1, float("nan"), float("inf"), b"\xff", [], {}, msgpack.ExtType(5, b"x"))),
            lambda: [holder[key]] * rng.choice((1, 2, 5, 70)),
        )
        if rng.random() < 0.05:
            del holder[key]
        else:
            holder[key] = rng.choice(new)()
        return typing.cast("bytes", msgpack.packb(plain))
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        return header


def _holders(plain: Any) -> list[Any]:
    found, left = [], [plain]
    while left and len(found) < 200:
        item = left.pop()
        if isinstance(item, dict | list):
            found.append(item)
            left += item.values() if isinstance(item, dict) else item
    return found


def _other_bytes(rng: random.Random, header: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(header) + 1)
    cut = rng.randrange(len(other) + 1)
    changed = rng.choice(
        (
            lambda: header[:at],
            lambda: header[:at] + rng.randbytes(rng.choice((1, 2, 8))) + header[at + 1 :],
            lambda: header[:at] + rng.choice(PROMISES) + header[at:],
            lambda: header[:at] + rng.choice(PROMISES) * 40,
            lambda: header[:at] + other[cut:],
            lambda: header[:at] + rng.choice((b"\x81\xa1k", b"\x91")) * rng.choice((3, 40, 1500)) + header[at:],
        )
    )()
    return changed[:16384]
