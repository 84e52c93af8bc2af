"""Copies of frames for people: small, lossy, latest wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgpack

from .errors import WireError
from .model import Frame
from .report import PreviewFrame, ServiceReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .link import Publisher

#: Longer side of a preview at most, pixels.
PREVIEW_PIXELS = 512
#: Previews a second of one run at most.
PREVIEW_HZ = 6.0
#: No preview or report is larger.
MAX_COPY_BYTES = 8 * 2**20

PREVIEW_TOPIC = b"preview"
REPORT_TOPIC = b"report"


def shrink(run: str, frame: Frame, level0: NDArray[np.uint16]) -> PreviewFrame:
    """Make a preview by taking every n-th pixel (no averaging: a hot pixel or a saturated one stays visible as it is).

    Parameters
    ----------
    run : str
        Run id.
    frame : Frame
        Which frame it is.
    level0 : uint16 (y, x)
        Its full-resolution product.
    """
    step = -(-max(level0.shape) // PREVIEW_PIXELS)
    small = level0[::step, ::step]
    height, width = small.shape
    pixels = small.astype("<u2").tobytes()
    return PreviewFrame(run, frame.number, frame.timestamp_ns, height, width, step, pixels)


def publish_preview(publisher: Publisher, preview: PreviewFrame) -> None:
    """Send a preview to whoever listens."""
    header = [preview.run, preview.number, preview.timestamp_ns, preview.height, preview.width, preview.step]
    publisher.publish(PREVIEW_TOPIC, [_pack(header), preview.pixels])


def publish_report(publisher: Publisher, report: ServiceReport) -> None:
    """Send the service's report to whoever listens."""
    publisher.publish(REPORT_TOPIC, [_pack(report.to_json())])


def _pack(value: object) -> bytes:
    packed = msgpack.packb(value)
    assert packed is not None
    return packed


def read_copy(parts: list[bytes]) -> PreviewFrame | ServiceReport:
    """Read what was published.

    Raises
    ------
    WireError
        It is neither a preview nor a report.
    """
    try:
        if parts[0] == REPORT_TOPIC:
            return ServiceReport.from_json(msgpack.unpackb(parts[1]))
        if parts[0] == PREVIEW_TOPIC:
            return PreviewFrame(*msgpack.unpackb(parts[1]), pixels=parts[2])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise WireError(f"published copy cannot be read ({error})") from error
    raise WireError(f"topic {parts[0][:40]!r} is unknown")
