"""Opening a source by name."""

from __future__ import annotations

from ..source import Source, SourceOptions

SIMULATED = "simulated"


def open_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Open a source by name.

    Parameters
    ----------
    spec : str
        A TIFF file, a folder of TIFF files, a Zarr array or OME-Zarr group, or ``simulated`` with its settings
        (``simulated:size=512x512,z=20``). A recording that really has that name is given as ``./simulated``.
    options : SourceOptions, optional
        How to play it.

    Raises
    ------
    SourceError
        The recording is missing, unreadable or holds something else than 8- or 16-bit unsigned planes.
    UsageError
        An option or a setting is wrong, or does not fit this kind of source.
    """
    options = options or SourceOptions()
    kind, _, settings = spec.partition(":")
    if kind == SIMULATED:
        from .simulated import open_simulated

        return open_simulated(settings, options)
    # Imported late: TIFF and Zarr libraries take 0.1 to 0.4 s to load, and a camera needs neither.
    from .replay import open_replay

    return open_replay(spec, options)
