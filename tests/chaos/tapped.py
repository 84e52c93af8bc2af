"""The agent's process as it is, and a file beside it that survives its death: what it knew of each frame, and when.

``tapped.py LOG acquire …`` is ``octostream acquire …``; ``tapped.py LOG resume SPOOL`` sends what a spool holds.
Each line is written before the agent acts on what it says: a frame is noted as durable before it is forgotten.
"""

import json
import os
import sys
from pathlib import Path

from octostream.acquire import agent
from octostream.acquire.resume import resume
from octostream.api import cli
from octostream.stream import agent_protocol as ap


class TappedProtocol(ap.AgentProtocol):
    """Decides as ever, and notes."""

    def handle(self, event, now):
        actions = super().handle(event, now)
        match event:
            case ap.Spooled(number):
                note("spooled", [number])
            case ap.Missed(number):
                note("missed", [number])
            case ap.Damaged(number):
                note("damaged", [number])
        durable = [n for action in actions if isinstance(action, ap.Release) for n in action.frames]
        if durable:
            note("durable", durable)
        return actions


def note(what, numbers):
    os.write(LOG, json.dumps([what, numbers]).encode() + b"\n")


def known(log):
    """Read what an agent knew: the sets of frames by word."""
    found = {"durable": set(), "spooled": set(), "missed": set(), "damaged": set()}
    for line in log.read_text().splitlines():
        what, numbers = json.loads(line)
        found[what].update(numbers)
    return found


if __name__ == "__main__":
    _, log, verb, *rest = sys.argv
    LOG = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    agent.ap.AgentProtocol = TappedProtocol
    if verb == "resume":
        sys.exit(0 if resume(Path(rest[0])).status == "complete" else 1)
    sys.argv[1:] = [verb, *rest]
    cli.main()
