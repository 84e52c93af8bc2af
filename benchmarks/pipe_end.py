"""The far end of the bare pipe: ``python -m octostream.benchmarks.pipe_end PARENT_PID``."""

from __future__ import annotations

import os
import sys

from ..stream.link import MAX_MESSAGE_BYTES, Poll, Router, context

#: Answer to every frame: one more may be sent.
CREDIT = b"credit"


def receive(router: Router, parent: int) -> None:
    """Take frames and forget them, until the sender is no more."""
    poll = Poll()
    poll.add(router)
    while os.getppid() == parent:
        poll.wait(1.0)
        while (message := router.receive()) is not None:
            router.send(message[0], [CREDIT])


def main(parent: int) -> None:
    """Listen at a free port, say where, and receive."""
    ctx = context()
    router = Router(ctx, "tcp://127.0.0.1:0", MAX_MESSAGE_BYTES)
    try:
        sys.stdout.write(f"{router.endpoint}\n")
        sys.stdout.flush()
        receive(router, parent)
    finally:
        router.close()
        ctx.term()


if __name__ == "__main__":
    main(int(sys.argv[1]))
