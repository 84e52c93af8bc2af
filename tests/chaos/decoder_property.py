"""What must hold for whatever bytes a peer sends: a message or one clear line, soon, and in little memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence

from octostream.stream.errors import WireError
from octostream.stream.wire import decode, encode

#: Memory that decoding may take: an empty list costs one byte on the wire and about 80 in memory. At least: the
#: interpreter's table of keys is made anew now and then, whoever adds the next one.
BYTES_A_BYTE, BYTES_AT_LEAST = 128, 2 * 2**20
#: Processor time that decoding may take, seconds: at least, and for each byte.
SECONDS_AT_LEAST, SECONDS_A_BYTE = 0.5, 1e-5
MOST_CHARACTERS = 400


class DecoderError(AssertionError):
    """The decoder did what it never may."""


def check(parts: Sequence[bytes], memory: bool = False) -> bool:
    """Decode, and complain unless everything is as promised.

    Parameters
    ----------
    parts : sequence of bytes
        As they might be received.
    memory : bool
        Look at the memory too, which makes it several times slower.

    Returns
    -------
    bool
        Whether it was a message.
    """
    size = sum(map(len, parts))
    if memory:
        tracemalloc.start()
    began = time.process_time()
    try:
        message = decode(parts)
    except WireError as error:
        message = None
        _check_text(str(error))
    finally:
        seconds = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1] if memory else 0
        tracemalloc.stop()
    if peak > BYTES_AT_LEAST + BYTES_A_BYTE * size:
        raise DecoderError(f"{size} bytes took {peak} bytes of memory")
    if seconds > SECONDS_AT_LEAST + SECONDS_A_BYTE * size:
        raise DecoderError(f"{size} bytes took {seconds:.1f} s")
    if message is None:
        return False
    # What was read means the same when it is written and read again. Bytes are compared, then types are too.
    again = [bytes(part) for part in encode(message)]
    if decode(again) != message or [bytes(part) for part in encode(decode(again))] != again:
        raise DecoderError(f"{message!r:.300} is another message when it is sent on")
    return True


def _check_text(text: str) -> None:
    if not text or len(text) > MOST_CHARACTERS or not text.isprintable():
        raise DecoderError(f"the error is not one clear line: {text[:200]!r} ({len(text)} characters)")
