"""Whether what talks to ICAT is installed: a service without a catalogue does without it."""

from __future__ import annotations

from importlib.util import find_spec

from ...stream.errors import UsageError


def require_icat() -> None:
    """See that python-icat is there.

    Raises
    ------
    UsageError
        It is not.
    """
    try:
        found = find_spec("icat")
    except ValueError:  # something is wrong with what is installed
        found = None
    if found is None:
        raise UsageError("python-icat is not installed here", "pip install 'octostream[icat]'")
