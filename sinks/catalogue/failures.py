"""What a failed call means: try later, leave it to a person, or log in again."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Literal
from xml.sax import SAXParseException

import icat.exception
from suds.transport import TransportError

from ...stream.errors import OctostreamError, StoreError

#: Tries of an entry that fails in a way that nobody foresaw; then it is parked.
UNFORESEEN_TRIES = 8

#: Tries of an entry to which ICAT says INTERNAL, or shows less than there must be, some eight hours: it also does so
#: where something that belongs to a dataset is wrong, or a right is missing, and not only where the server is ill.
REFUSED_TRIES = 20


class ParkedError(OctostreamError):
    """The catalogue will not take this entry, however often it is tried; a person must see to it."""


@dataclass(frozen=True)
class Failure:
    """A failed delivery, judged.

    Attributes
    ----------
    kind : str
        ``"away"``: the server does not answer, nobody else's entry would fare better; ``"again"``: this entry may
        succeed later; ``"login"``: the session has ended; ``"park"``: it cannot succeed by itself.
    reason, remedy : str
        For people.
    """

    kind: Literal["away", "again", "login", "park"]
    reason: str
    remedy: str = ""


def judge(error: Exception, attempts: int) -> Failure:
    """Judge a failed delivery.

    Parameters
    ----------
    error : Exception
        What python-icat, suds or the network raised. suds raises a bare ``Exception((status, text))`` for an HTTP
        status that is no fault.
    attempts : int
        Tries of the entry so far, this one included.
    """
    reason = _said(error)
    match error:
        case ParkedError():
            return Failure("park", error.what, error.remedy)
        case icat.exception.ICATSessionError():
            return Failure("login", reason, "see with octostream catalogue check whether the credentials are right")
        case icat.exception.ICATPrivilegesError():
            remedy = (
                "give the service's account this right (octostream catalogue check), then octostream catalogue retry"
            )
            return Failure("park", reason, remedy)
        case icat.exception.ICATValidationError() | icat.exception.ICATParameterError():
            return Failure("park", reason, "mend it in ICAT or in the settings, then octostream catalogue retry")
        case icat.exception.ICATNotImplementedError():
            return Failure("park", reason, "this ICAT is too old for octostream")
        case icat.exception.ICATError() | icat.exception.SearchResultError() if attempts >= REFUSED_TRIES:
            return Failure("park", reason, "look into ICAT's own log, then octostream catalogue retry")
        case icat.exception.ICATError() | icat.exception.SearchResultError():
            return Failure("again", reason)  # INTERNAL, or something that was there a moment ago
        case StoreError():
            return Failure("again", reason)
        case OSError() | http.client.HTTPException() | TransportError() | SAXParseException():
            return Failure("away", reason)
        case _ if _is_http_status(error):
            return Failure("away", reason)
        case _ if attempts < UNFORESEEN_TRIES:
            return Failure("again", reason)
        case _:
            return Failure("park", reason, "report it; octostream catalogue retry tries it again")


def _is_http_status(error: Exception) -> bool:
    return (
        type(error) is Exception
        and len(error.args) == 1
        and isinstance(error.args[0], tuple)
        and isinstance(error.args[0][0], int)
    )


def _said(error: Exception) -> str:
    text = " ".join(str(getattr(error, "message", "") or error).split())
    return f"{type(error).__name__}: {text}"[:500]
