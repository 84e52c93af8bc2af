"""Keys of instruments and what each may do: plain data and decisions, no files and no sockets.

A key is a Curve25519 pair. Its public half names an instrument to the tier; the tier's own public half tells the
instrument that it talks to the right tier. Keys are written as 64 hexadecimal digits: every shell and form takes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from .errors import UsageError

KEY_BYTES = 32
_HEX = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")


class Secret:
    """The half of a key that nobody may see: it is never shown, compared or written by accident.

    Parameters
    ----------
    key : bytes
        32 bytes.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def reveal(self) -> bytes:
        """Give the 32 bytes, for a socket or the key's own file."""
        return self._key

    def __repr__(self) -> str:
        return "Secret(not shown)"

    def __reduce__(self) -> str:
        raise TypeError("a secret key is never pickled or copied")


@dataclass(frozen=True)
class KeyPair:
    """Both halves of a key.

    Attributes
    ----------
    public : str
        64 hexadecimal digits.
    secret : Secret
        The other half.
    """

    public: str
    secret: Secret


@dataclass(frozen=True)
class InstrumentKey:
    """All that an agent needs to speak to its tier.

    Attributes
    ----------
    instrument : str
        Whose key this is.
    pair : KeyPair
        Of the instrument.
    tier : str
        Public key of the tier.
    """

    instrument: str
    pair: KeyPair
    tier: str


@dataclass(frozen=True)
class Permit:
    """What one key may do.

    Attributes
    ----------
    instrument : str
        Whose key it is; empty where the tier uses no keys.
    key : str
        Public half, 64 hexadecimal digits.
    investigations : tuple of str or None
        Where it may record; None: anywhere.
    """

    instrument: str
    key: str
    investigations: tuple[str, ...] | None

    def may_record_in(self, investigation: str) -> bool:
        """Tell whether a run of this investigation may be opened."""
        return self.investigations is None or investigation in self.investigations

    def owns(self, instrument: str) -> bool:
        """Tell whether a run that this instrument opened may be touched; one opened without keys goes by its token."""
        return not self.instrument or not instrument or self.instrument == instrument


#: What everybody may do at a tier that uses no keys.
OPEN_DOOR = Permit("", "", None)


@dataclass(frozen=True)
class AllowList:
    """The keys that a tier knows; one an instrument.

    Attributes
    ----------
    permits : tuple of Permit
        In the order of instruments.
    """

    permits: tuple[Permit, ...] = ()

    @cached_property
    def _by_key(self) -> Mapping[str, Permit]:
        return {p.key: p for p in self.permits}

    def of(self, key: str) -> Permit | None:
        """Give what a key may do; None for an unknown one."""
        return self._by_key.get(key)

    def allow(self, permit: Permit) -> AllowList:
        """Give the list with this permit, in place of what its instrument had.

        Raises
        ------
        UsageError
            The key is another instrument's.
        """
        known = self.of(permit.key)
        if known is not None and known.instrument != permit.instrument:
            what = f"this key is already that of {known.instrument!r}"
            raise UsageError(what, "make one for each instrument with `octostream keys new NAME`")
        others = [p for p in self.permits if p.instrument != permit.instrument]
        return replace(self, permits=tuple(sorted([*others, permit], key=lambda p: p.instrument)))

    def revoke(self, instrument: str) -> AllowList:
        """Give the list without an instrument.

        Raises
        ------
        UsageError
            It is not in it.
        """
        left = tuple(p for p in self.permits if p.instrument != instrument)
        if len(left) == len(self.permits):
            raise UsageError(f"no key of {instrument!r} is allowed", "see `octostream keys list`")
        return replace(self, permits=left)


def check_key(text: str) -> str:
    """Give a public key back if it is one.

    Raises
    ------
    UsageError
        It is not; the text is not repeated, for it could be a secret given by mistake.
    """
    if not _HEX.fullmatch(text):
        raise UsageError("this is no public key", f"give the file, or the {2 * KEY_BYTES} digits 0-9 a-f of the key")
    return text
