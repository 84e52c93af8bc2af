"""Who is let in: ZeroMQ's authentication requests (RFC 27, ZAP) decided against the allow-list, without a socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .keys import KEY_BYTES, AllowList

ENDPOINT = "inproc://zeromq.zap.01"
#: Said by our sockets in every request; a request without it is from a socket that nobody protected on purpose.
DOMAIN = b"octostream"
_VERSION = b"1.0"
_PARTS = 7
#: RFC 27: texts and ids are at most so long.
_TEXT = 255


@dataclass(frozen=True)
class Answer:
    """What ZeroMQ is told about a peer.

    Attributes
    ----------
    parts : list of bytes
        The reply.
    peer : str
        Address of the peer; empty if the request was no request.
    key : str
        Its public key, 64 hexadecimal digits; empty where none was shown.
    let_in : bool
        Whether it is let in.
    """

    parts: list[bytes]
    peer: str
    key: str
    let_in: bool


def answer(request: Sequence[bytes], allowed: AllowList) -> Answer:
    """Let a peer in if, and only if, it proved an allowed key; whatever is not understood is refused.

    Parameters
    ----------
    request : sequence of bytes
        Version, request id, domain, address, identity, mechanism, credentials.
    allowed : AllowList
        The keys that are known now.
    """
    if len(request) != _PARTS or request[0] != _VERSION or not 0 < len(request[1]) <= _TEXT:
        return Answer(_reply(b"", b"500", b"not understood"), "", "", let_in=False)
    _, number, domain, address, _, mechanism, credentials = request
    peer = address[:_TEXT].decode("ascii", "replace")
    if domain != DOMAIN or mechanism != b"CURVE" or len(credentials) != KEY_BYTES:
        return Answer(_reply(number, b"400", b"a key is needed"), peer, "", let_in=False)
    key = credentials.hex()
    if allowed.of(key) is None:
        return Answer(_reply(number, b"400", b"the key is not allowed"), peer, key, let_in=False)
    return Answer(_reply(number, b"200", b"", key.encode()), peer, key, let_in=True)


def _reply(number: bytes, code: bytes, text: bytes, user: bytes = b"") -> list[bytes]:
    return [_VERSION, number, code, text, user, b""]
