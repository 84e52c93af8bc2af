"""Whether runs can be registered in an ICAT: what is there, and what the account may do; nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import icat

from .failures import ParkedError
from .investigations import investigations_of
from .lookup import Lookup
from .trials import Trials
from .vocabulary import Needed

#: What makes a type of the right name useless, where it is not as it must be.
DECISIVE = ("valueType", "applicableToDataset", "applicableToDataCollection", "pid")

State = Literal["ok", "created", "missing", "no right", "refused", "not tried"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
    state : str
        ``"ok"``; ``"created"``: it was missing until now; ``"missing"``; ``"no right"``; ``"refused"``: for another
        reason; ``"not tried"``: there is nothing yet that it could be tried with.
    detail : str
        More, for people; may be empty.
    """

    what: str
    state: State
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether nobody need do anything about it."""
        return self.state in ("ok", "created", "not tried")


def check(lookup: Lookup, needs: Sequence[Needed], *, create: bool, owners: bool = False) -> Iterator[Finding]:
    """Look whether runs can be registered.

    Parameters
    ----------
    lookup : Lookup
        By the service's account.
    needs : sequence of Needed
        What must be there.
    create : bool
        Whether what is missing is created.
    owners : bool
        Whether an ``owner_command`` is set, which needs more rights.

    Raises
    ------
    Exception
        Where the server does not answer; as python-icat, suds or the network raise it.
    """
    try:
        facility = lookup.facility()
    except ParkedError as error:
        yield Finding("Facility", "missing", error.what)
        return
    yield Finding(f"Facility {str(facility.name)!r}", "ok")
    yield _investigations(lookup)
    for thing in needs:
        yield _thing(lookup, thing, create=create)
    trials = Trials(lookup, needs)
    for trial in (*trials.all(), *(trials.of_owners() if owners else ())):
        yield Finding(f"{trial.right} {trial.entity}", *_outcome(trial.ask))


def _investigations(lookup: Lookup) -> Finding:
    count = len(investigations_of(lookup))
    if not count:
        return Finding("READ Investigation", "no right", "the account sees none of the facility")
    return Finding("READ Investigation", "ok", f"{count} of the facility")


def _thing(lookup: Lookup, thing: Needed, *, create: bool) -> Finding:
    try:
        if (found := lookup.find(thing)) is not None:
            wrong = _unfit(found, thing)
            return Finding(str(thing), "refused", wrong) if wrong else Finding(str(thing), "ok")
        if not create:
            return Finding(str(thing), "missing", "--create makes it")
        lookup.create(thing)
    except icat.ICATPrivilegesError as error:
        return Finding(str(thing), "no right", error.message)
    except ParkedError as error:  # it cannot be found though it was made, or ICAT has none of the facility
        return Finding(str(thing), "refused", error.what)
    except (icat.ICATValidationError, icat.ICATParameterError, icat.ICATNotImplementedError) as error:
        return Finding(str(thing), "refused", error.message)
    return Finding(str(thing), "created")


def _unfit(found: Any, thing: Needed) -> str:
    """Say why something that has the right key will not do; empty where it does."""
    decisive = ((name, thing.others[name]) for name in DECISIVE if name in thing.others)
    return "; ".join(
        f"its {name} is {getattr(found, name)}, octostream needs {value}"
        for name, value in decisive
        if getattr(found, name) != value
    )


def _outcome(ask: Callable[[], bool] | None) -> tuple[State, str]:
    if ask is None:
        return "not tried", "there is nothing yet to try it with"
    try:
        return ("ok", "") if ask() else ("no right", "")
    except icat.ICATPrivilegesError as error:
        return "no right", error.message
    except (icat.ICATValidationError, icat.ICATParameterError, icat.ICATObjectExistsError) as error:
        return "refused", error.message
