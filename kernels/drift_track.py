"""The track of a run: its drift added up over key images, from shifts of one image against another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from .drift import Shift

#: An image, or what is kept of it.
Image = TypeVar("Image")


class DriftTrack(Generic[Image]):
    """Adds up the drift of one image after another against the first one.

    Each image is measured against the key image, at first the first one. When an image has moved by more than a third
    of the search window it becomes the key itself: errors add up over changes of the key alone, not over images. A
    shift is not trusted where its quality is below the limit or its peak lies at the border of the window. Then the
    image before becomes the key, if against it the shift can be trusted. If not, the drift is taken to be what it was,
    and the next image may be measured against this one: a field that is another one altogether goes on from there, and
    after a dark image or two the key is still known.

    Parameters
    ----------
    compare : callable
        Measures an image against a reference.
    window : tuple of float, raw pixels
        Half of the search window (y, x).
    quality : float
        The limit.

    Attributes
    ----------
    drift : Shift
        Of the last image: dy and dx against the first one, quality and limit of what was measured last.
    """

    def __init__(self, compare: Callable[[Image, Image], Shift], window: tuple[float, float], quality: float) -> None:
        self.drift = Shift(0.0, 0.0, 0.0, False)
        self._compare, self._window, self._quality = compare, window, quality
        # Images with the drift they have.
        self._key: tuple[Image, Shift] | None = None
        self._last: tuple[Image, Shift] | None = None

    def take(self, image: Image) -> Shift:
        """Take the next image.

        Parameters
        ----------
        image : Image
            Kept until one or two later ones have come, or as long as it is the key.

        Returns
        -------
        Shift
            The `drift`.
        """
        if self._key is None or self._last is None:
            self.drift = Shift(0.0, 0.0, self._compare(image, image).quality, False)
            self._key = self._last = image, self.drift
            return self.drift
        shift = self._compare(image, self._key[0])
        if not self._trusted(shift) and self._last is not self._key:
            again = self._compare(image, self._last[0])
            if self._trusted(again):
                shift, self._key = again, self._last
        if self._trusted(shift):
            start = self._key[1]
            self.drift = Shift(start.dy + shift.dy, start.dx + shift.dx, shift.quality, shift.limited)
        else:
            self.drift = Shift(self.drift.dy, self.drift.dx, shift.quality, shift.limited)
        self._last = image, self.drift
        if self._trusted(shift) and (abs(shift.dy) > self._window[0] / 3 or abs(shift.dx) > self._window[1] / 3):
            self._key = self._last
        return self.drift

    def _trusted(self, shift: Shift) -> bool:
        return shift.quality >= self._quality and not shift.limited
