"""Coverage-guided fuzzing of the decoder: ``python tests/chaos/fuzz_decoder.py --cases 10000000``.

The corpus is made here, from every type of message; nothing is kept. It ends with the number of cases and what was
covered, or with the bytes that broke the promise.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["octostream.stream"]):
    from octostream.stream import messages, model, ranges, wire  # noqa: F401

from decoder_property import check
from hostile_messages import KINDS, Maker, mutated, parts_of

MAX_BYTES = 16384
#: One of so many cases is looked at for memory.
MEMORY_EVERY = 500


def joined(parts: list[bytes]) -> bytes:
    """Write the parts of a message as one text of bytes: the length of each, then the part."""
    return b"".join(len(part[:65535]).to_bytes(2, "big") + part[:65535] for part in parts)


def split(data: bytes) -> list[bytes]:
    """Read what ``joined`` wrote; whatever is there besides is a last part."""
    parts: list[bytes] = []
    while data and len(parts) < 4:
        count = int.from_bytes(data[:2], "big")
        parts.append(data[2 : 2 + count])
        data = data[2 + count :]
    return parts


class Target:
    """What the fuzzer calls."""

    def __init__(self) -> None:
        self.cases = 0
        self.messages = 0

    def __call__(self, data: bytes) -> None:
        """Try one case."""
        self.cases += 1
        if check(split(data), memory=self.cases % MEMORY_EVERY == 0):
            self.messages += 1
            if self.messages.bit_count() == 1:  # the fuzzer leaves the process without a word of ours
                sys.stderr.write(f"{self.cases} cases, {self.messages} of them messages\n")


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a value of the header as often as plain bytes, which would mostly break the header."""
    rng = random.Random(seed)
    if rng.random() < 0.2:
        return atheris.Mutate(data, max_size)
    return joined(mutated(rng, split(data)))[:max_size]


def fuzz(folder: str, arguments: argparse.Namespace) -> None:
    """Fuzz, with a corpus in a folder; the fuzzer ends the process that it runs in."""
    rng = random.Random(arguments.seed)
    for kind in KINDS:
        for k in range(8):
            (Path(folder) / f"{kind.__name__}-{k}").write_bytes(joined(parts_of(Maker(rng).message(kind))))
    options = {
        "runs": arguments.cases,
        "max_total_time": arguments.seconds,
        "seed": arguments.seed,
        "max_len": MAX_BYTES,
        "rss_limit_mb": 1024,
        "timeout": 20,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
    }
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, folder], Target(), custom_mutator=mutate)
    atheris.Fuzz()


def main() -> int:
    """Fuzz in a process of its own, so that its folder can be removed; gives how that ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=int, default=0, help="stop after so long; 0: when all cases were tried")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.stderr.write(f"seed {arguments.seed}\n")
    sys.stderr.flush()
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if not child:
            fuzz(folder, arguments)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
