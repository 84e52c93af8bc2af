"""A writing process is killed at any moment, again and again: what it had reported durable is there, bit for bit."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time

import pytest
from octostream.acquire.spool import Spool
from octostream.stream.model import Plan

from .spooled import get, make, quick_folder

LIVES = 6
LONG = Plan((1_000_000, 1, 1, 9, 7))
WRITER = textwrap.dedent(
    """
    import random, sys
    from pathlib import Path
    import numpy as np
    import xxhash
    from octostream.acquire.spool import Spool
    from octostream.stream.model import Frame

    directory, first, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    choice = random.Random(seed)
    spool = Spool.open(directory)

    def say(word, numbers):
        sys.stdout.write(f"{word} {' '.join(map(str, numbers))}\\n")
        sys.stdout.flush()

    say("open", spool.frames)
    number = first
    while True:
        pixels = np.random.default_rng(number).integers(0, 65536, (9, 7), dtype=np.uint16)
        checksum = xxhash.xxh3_64_intdigest(pixels.data)
        spool.append(Frame(number, 1_700_000_000_000_000_000 + number, checksum), pixels)
        number += 1
        if choice.random() < 0.3:
            say("durable", spool.sync())
        if choice.random() < 0.1:
            gone = [n for n in spool.frames if choice.random() < 0.8]
            say("forget", gone)
            spool.forget(gone)
    """
)


def live(directory, first, choice):
    """Let a writer live for a while; gives what it said."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), str(first), str(choice.randrange(2**31))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    said = []
    try:
        said += [writer.stdout.readline() for _ in range(choice.randrange(1, 40))]
        time.sleep(choice.random() * 0.01)  # not to wait: to hit it anywhere
    finally:
        writer.kill()
        writer.wait(60)
    with writer.stdout as rest:
        said += rest
    assert said[0].startswith("open")
    return [line.split() for line in said if line.endswith("\n")]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_writer_is_killed_at_any_moment(seed):
    print("seed", seed)
    with quick_folder() as folder:
        spool = make(folder, plan=LONG, limit_bytes=2**25)
        spool.close()
        lives(spool.directory, random.Random(seed))


def lives(directory, choice):
    """Kill one writer after another; each goes on where the one before was killed."""
    durable: set[int] = set()
    first = 0
    for _ in range(LIVES):
        for word, *numbers in live(directory, first, choice):
            said = set(map(int, numbers))
            durable = durable - said if word == "forget" else durable | said
        spool = Spool.open(directory)
        assert set(spool.frames) >= durable
        assert not spool.losses
        for number in spool.frames:
            get(spool, number)
        spool.sync()
        durable = set(spool.frames)
        first = max([first, *(n + 1 for n in durable)]) + 1
        spool.close()
    assert first > LIVES
