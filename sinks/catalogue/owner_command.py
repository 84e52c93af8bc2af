"""The command that hands the data of a run to the people of its investigation: decisions without I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .facts import RunFacts

#: What stands in the place of these is a single argument, or part of one, whatever is in it: there is no shell.
PLACEHOLDERS: Final[Mapping[str, str]] = {
    "store": "path of the store",
    "run": "id of the run",
    "name": "its name",
    "investigation": "name of the investigation",
    "visit": "its visit",
    "users": "login of a user of the investigation; the argument is repeated, once a user",
}
_PLACEHOLDER = re.compile(r"\{([a-z_]*)\}")
#: What may not begin a login, and what may not be in one: the command could take it for something else.
_FIRST, _WITHIN = "-", ":,/"


@dataclass(frozen=True)
class OwnerCommand:
    """A command that can be run.

    Attributes
    ----------
    arguments : tuple of str
        The program and its arguments; empty where there is nobody to hand the data to.
    left_out : tuple of str
        Logins that no command can be given safely.
    """

    arguments: tuple[str, ...]
    left_out: tuple[str, ...]


def unknown_placeholders(template: Sequence[str]) -> Sequence[str]:
    """Give what a template names and nobody knows."""
    return [name for argument in template for name in _PLACEHOLDER.findall(argument) if name not in PLACEHOLDERS]


def owner_command(template: Sequence[str], facts: RunFacts, users: Sequence[str]) -> OwnerCommand:
    """Fill in a template.

    Parameters
    ----------
    template : sequence of str
        The program and its arguments.
    facts : RunFacts
        The run.
    users : sequence of str
        Names of users as ICAT has them: login, or authenticator/login.
    """
    logins = list(dict.fromkeys(login_of(user) for user in users))
    sound = [login for login in logins if _sound(login)]
    known = {name: getattr(facts, name) for name in PLACEHOLDERS if name != "users"}
    arguments: list[str] = []
    for argument in template:
        if "{users}" in argument:
            arguments += [_filled(argument, {**known, "users": login}) for login in sound]
        else:
            arguments.append(_filled(argument, known))
    names_users = any("{users}" in argument for argument in template)
    left_out = tuple(login for login in logins if login not in sound)
    return OwnerCommand(tuple(arguments) if sound or not names_users else (), left_out)


def login_of(user: str) -> str:
    """Give the login of a user of ICAT: what stands behind the authenticator."""
    return user.partition("/")[2] if "/" in user else user


def _sound(login: str) -> bool:
    return bool(login) and login.isprintable() and not login.startswith(_FIRST) and not set(login) & set(_WITHIN)


def _filled(argument: str, values: Mapping[str, str]) -> str:
    """Put values in, in one go: what a value has in braces means nothing."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], argument)
