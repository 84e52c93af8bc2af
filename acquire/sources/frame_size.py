"""The size of a frame, as people write it."""

from __future__ import annotations

import re

from ...stream.errors import UsageError

#: Larger than any camera's; a slip of the finger must not ask for terabytes.
LARGEST_SIDE = 32768


def parse_size(text: str, option: str = "--tile") -> tuple[int, int]:
    """Read ``"HxW"`` as (y, x), pixels.

    Raises
    ------
    UsageError
        The text is not two whole numbers from 1 to 32768 with an x between them.
    """
    match = re.fullmatch(r"([0-9]{1,5})[x×]([0-9]{1,5})", text.strip(), re.IGNORECASE)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(1 <= side <= LARGEST_SIDE for side in size):
        raise UsageError(
            f"{option} {text!r} is not a frame size", f"give height x width, each 1 to {LARGEST_SIDE}: 2048x2048"
        )
    return size
