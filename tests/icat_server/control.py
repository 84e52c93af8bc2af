"""Orders over HTTP, for a stand-in that runs as its own process: ``POST /control`` with one JSON object.

``{"order": "slow", "seconds": 2, "times": 3, "operations": ["create"]}``
    Fail so; all but the kind may be left out. The kinds are those of `misbehaviour`.
``{"at_random": {"drop": 0.1, "502": 0.05}, "seed": 7, "operations": ["create"], "seconds": 0.2}``
    Fail at random.
``{"refuse": 2.5}``
    Refuse connections for so many seconds; control is not heard meanwhile, either.
``{"expire": true}``
    End all sessions now.
``{"behave": true}``
    Be well again.

``GET /control`` says what is ordered, what has happened, and how often each operation was called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from octostream.tests.icat_server.misbehaviour import SLOW_S, Misbehaviour

PATH = "/control"


class Controlled(Protocol):
    """What can be told how to behave."""

    misbehaviour: Misbehaviour

    def refuse(self, seconds: float | None = None) -> None:
        """Refuse connections."""

    def expire_sessions(self) -> None:
        """End all sessions."""


def obey(server: Controlled, said: Mapping[str, Any]) -> None:
    """Do what one message says.

    Raises
    ------
    ValueError
        It says nothing that is known.
    """
    operations = [str(name) for name in said.get("operations", ())]
    if "order" in said:
        server.misbehaviour.order(str(said["order"]), said.get("times"), operations, said.get("seconds"))
    elif "at_random" in said:
        chances = {str(kind): float(chance) for kind, chance in dict(said["at_random"]).items()}
        seconds = float(said.get("seconds", SLOW_S))
        server.misbehaviour.at_random(int(said.get("seed", 0)), chances, operations, seconds)
    elif "refuse" in said:
        server.refuse(float(said["refuse"]))
    elif said.get("expire"):
        server.expire_sessions()
    elif said.get("behave"):
        server.misbehaviour.behave()
    else:
        raise ValueError("say one of order, at_random, refuse, expire, behave")
