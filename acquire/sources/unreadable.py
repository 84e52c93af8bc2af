"""One clear error for whatever a file, or the library that reads it, has to say."""

from __future__ import annotations

from ...stream.errors import SourceError

_CODECS = 'pip install "octostream[codecs]"'


def unreadable(name: str, error: Exception) -> SourceError:
    """Turn an exception from the file system or a reading library into an error for people.

    Parameters
    ----------
    name : str
        What could not be read: a file, or a page of it.
    error : Exception
        What was raised.
    """
    match error:
        case SourceError():
            return error
        case FileNotFoundError():
            return SourceError(f"{name} does not exist", "check the path")
        case PermissionError():
            return SourceError(f"{name} may not be read by this user", "change its permissions or use another account")
        case OSError() if error.strerror:
            return SourceError(f"{name} cannot be read ({error.strerror})", "check the disk or the network share")
    text = " ".join(str(error).split())[:160] or type(error).__name__
    if "imagecodecs" in text:
        return SourceError(f"{name} is compressed in a way that needs more codecs ({text})", _CODECS)
    return SourceError(f"{name} cannot be read ({text})", "it is damaged or incomplete: copy it again from its origin")


def not_an_image(name: str) -> SourceError:
    """Make the error for a file of another kind."""
    return SourceError(f"{name} is not a TIFF file", "give a TIFF file, a folder of them, or a Zarr array")
