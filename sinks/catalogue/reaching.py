"""Reaching ICAT while a person waits: what goes wrong is one clear line."""

from __future__ import annotations

import traceback
import xml.sax
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import URLError

import icat
from suds.transport import TransportError

from ...stream.errors import OctostreamError, UnreachableError
from .connection import Connection
from .failures import judge
from .settings import CatalogueSettings, Credentials


class LoginRefusedError(OctostreamError):
    """ICAT does not let the account in."""


class CatalogueError(OctostreamError):
    """ICAT refused what it was asked, and said why."""


@contextmanager
def reached(settings: CatalogueSettings, credentials: Credentials) -> Iterator[Any]:
    """Give a client of ICAT that is logged in; its session ends with the block.

    Raises
    ------
    UnreachableError
        Nobody answers at the address, or no ICAT; also later, within the block.
    LoginRefusedError
        Name or password are wrong, or the authenticator is.
    CatalogueError
        It refuses something else, at any time.
    Exception
        Of the block itself, as it is: whatever did not come by python-icat.
    """
    connection = Connection(settings, credentials)
    try:
        yield _logged_in(connection, settings, credentials)
    except OctostreamError:
        raise
    except icat.ICATError as error:
        remedy = "octostream catalogue check tells what is missing"
        raise CatalogueError(f"ICAT at {settings.url} refuses: {_message(error)}", remedy) from error
    except Exception as error:
        if not _of_icat(error):
            raise
        _close_answers(error)
        raise _unreachable(error, settings) from error
    finally:
        _leave(connection)


def _logged_in(connection: Connection, settings: CatalogueSettings, credentials: Credentials) -> Any:
    try:
        return connection.client()
    except icat.ICATSessionError as error:
        who = f"{credentials.username!r} by {settings.authenticator!r}"
        remedy = "check the credentials, and `authenticator` in the settings"
        raise LoginRefusedError(f"ICAT at {settings.url} does not let in {who}: {_message(error)}", remedy) from error


def _of_icat(error: Exception) -> bool:
    """Tell whether an error came out of python-icat or suds: by its way, for its type may be any."""
    ways = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(way.partition(".")[0] in ("icat", "suds") for way in ways)


def _leave(connection: Connection) -> None:
    """End the session; where that fails it ends by itself, and what was done stays done."""
    try:
        connection.close()
    except Exception:  # noqa: BLE001 - whatever was to be said was said before
        return


def _close_answers(error: BaseException) -> None:
    """Close the answers that suds left open with its errors."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, TransportError) and link.fp is not None:
            link.fp.close()
        link = link.__cause__ or link.__context__


def _unreachable(error: Exception, settings: CatalogueSettings) -> OctostreamError:
    at, network = f"at {settings.url}", "check `url` in the settings, and the network"
    match error:
        case TransportError(httpcode=404):
            return UnreachableError(f"there is no ICAT {at}: HTTP status 404", "check `url` in the settings")
        case TransportError(httpcode=int() as status):
            return UnreachableError(f"ICAT {at} does not answer: HTTP status {status}", "try again later, or see to it")
        case URLError(reason=reason):
            return UnreachableError(f"ICAT {at} cannot be reached: {reason}", network)
        case TimeoutError():
            return UnreachableError(f"ICAT {at} does not answer in time", "try again later, or raise `timeout_s`")
        case OSError():
            return UnreachableError(f"the connection to ICAT {at} broke: {error}", network)
        case xml.sax.SAXParseException():
            return UnreachableError(f"what answers {at} is no ICAT", "check `url` in the settings")
        case _ if str(error) == "No services defined":  # so suds says of an HTML page that happens to be XML
            return UnreachableError(f"what answers {at} is no ICAT", "check `url` in the settings")
        case _:
            reason = judge(error, 1).reason
            return UnreachableError(f"ICAT {at} does not answer as it should: {reason}", "try again later")


def _message(error: icat.ICATError) -> str:
    return " ".join(str(getattr(error, "message", "") or error).split())
