"""What commands say of the frames of a run beside how many are stored and lost."""

from __future__ import annotations


def only_projections(frames: int) -> str:
    """Give the end of a line that has said how many frames are stored; empty where all of them are stored whole.

    Parameters
    ----------
    frames : int
        Stored ones of whose pixels only projections were kept, as the recipe asks for.
    """
    return f"; only projections of {frames} frame{'s' if frames > 1 else ''}" if frames else ""
