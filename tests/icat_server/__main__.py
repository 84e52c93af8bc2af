"""A stand-in for an ICAT server 6.2, to develop, test and demonstrate: ``python -m octostream.tests.icat_server``.

It is not ICAT. It speaks SOAP to unmodified python-icat 1.7 and keeps ICAT's promises about what is stored: the
53 entities of the schema with keys, lengths and what is required; cascades; what an update nulls; the messages and
types of errors; rules. What it leaves out or does otherwise:

- REST, the data service (IDS), free-text search, notifications, logging, authenticators other than "simple" with
  passwords in clear.
- Subqueries, GROUP BY, more than one entity after FROM, some functions; of the old query style more than a chain
  (``Dataset <-> Investigation [name = 'x']``): such queries are refused with a message that says so.
- Rules on single attributes can be written, but give no right: only REST asks for them.
- Text is compared as it is written: "a" is not "A". On MySQL, ICAT would take them for the same, in keys too.
- Triggers that keep fileSize and fileCount of datasets and investigations.
- Speed and number of users: there is one lock.

Without ``--data`` everything is in memory. One line with the address is printed when it is ready; SIGTERM or SIGINT
ends it. How to order misbehaviour is in ``control.py``.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path

from octostream.tests.icat_server.server import IcatServer


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="octostream.tests.icat_server", description="A stand-in for an ICAT server.")
    parser.add_argument("--port", type=int, default=0, help="0 is any free port")
    parser.add_argument("--data", type=Path, metavar="FILE", help="keeps everything; without it, memory does")
    parser.add_argument("--seed", action="store_true", help="put a small facility into an empty catalogue")
    said = parser.parse_args(arguments)
    ending = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread starts, so that none of them is interrupted.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    server = IcatServer(said.data, said.port, seeded=said.seed)
    server.start()
    print(server.url, flush=True)
    signal.sigwait(ending)
    server.close()


if __name__ == "__main__":
    main()
