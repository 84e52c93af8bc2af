"""Which process dies or stands still, when, and for how long: drawn from a seed before anything runs."""

import random
import signal
import statistics
from collections import defaultdict
from dataclasses import dataclass, field

#: Victims and how often each is hit; agents come on top, towards the end: with them the camera ends.
WEIGHTS = {"worker": 5, "head": 5, "web": 1, "service": 1}
#: Longer than the agent waits for a worker (10 s), and so longer than the head does (5 s).
PAST_THE_LEASE_S = 11.5
#: Silence after which a run is sealed: shorter than most pauses here, or longer than all of them.
AGENT_TIMEOUTS_S = (2.0, 60.0)


@dataclass(frozen=True)
class Fault:
    """One signal.

    Attributes
    ----------
    after_s : float
        Since the fault before it.
    victim : str
        ``agent``, ``worker``, ``head``, ``web`` or ``service``.
    which : int
        Which of them, modulo their number.
    number : signal.Signals
        SIGKILL, or SIGSTOP.
    for_s : float
        How long it stands still; for an agent or a service that is killed, how long until it is started again.
    """

    after_s: float
    victim: str
    which: int
    number: signal.Signals
    for_s: float

    @property
    def name(self) -> str:
        """What the table calls it."""
        if self.number == signal.SIGKILL:
            return "SIGKILL"
        return "SIGSTOP past the lease" if self.for_s >= PAST_THE_LEASE_S else "SIGSTOP"


@dataclass(frozen=True)
class Round:
    """What happens to one service and its agents."""

    seed: int
    workers: int
    agents: int
    overrun: str
    agent_timeout_s: float
    faults: tuple[Fault, ...]

    @property
    def kills(self) -> int:
        """How many processes it kills, if every fault finds its victim."""
        return sum(f.number == signal.SIGKILL for f in self.faults)


def drawn(seed, fewest=3, most=8, stops_past_the_lease=0.1):
    """Draw a round: the same one for the same numbers."""
    rng = random.Random(seed)
    agents = rng.choice((1, 1, 2))
    count = rng.randint(fewest, most)
    dying = [k for k in range(agents) if rng.random() < 0.5]
    faults = [_fault(rng, agents, stops_past_the_lease) for _ in range(count - len(dying))]
    for which in dying:
        pause_s = rng.choice((0.1, 1.0, 4.0))
        at = rng.randint(len(faults) // 2, len(faults))
        faults.insert(at, Fault(_pause(rng), "agent", which, signal.SIGKILL, pause_s))
    return Round(
        seed=seed,
        workers=rng.choice((1, 2, 2)),
        agents=agents,
        overrun=rng.choice(("spool", "spool", "block")),
        agent_timeout_s=rng.choice(AGENT_TIMEOUTS_S),
        faults=tuple(faults),
    )


def _fault(rng, agents, stops_past_the_lease):
    victims = [*WEIGHTS, "agent"]
    victim = rng.choices(victims, [*WEIGHTS.values(), 2])[0]
    kill = victim == "service" or (victim != "agent" and rng.random() < 0.7)
    if kill:
        return Fault(_pause(rng), victim, rng.randrange(4), signal.SIGKILL, rng.choice((0.0, 1.0)))
    past = rng.random() < stops_past_the_lease
    for_s = PAST_THE_LEASE_S if past else rng.uniform(0.2, 3.0)
    return Fault(_pause(rng), victim, rng.randrange(4), signal.SIGSTOP, for_s)


def _pause(rng):
    return rng.uniform(0.1, 1.2)


def seeds_with(kills, **how):
    """Give the seeds whose rounds kill so many processes in all, from 1 on."""
    seeds, planned = [], 0
    while planned < kills:
        seeds.append(len(seeds) + 1)
        planned += drawn(seeds[-1], **how).kills
    return seeds


@dataclass
class Tally:
    """What a campaign did and found."""

    recovered_s: dict = field(default_factory=lambda: defaultdict(list))
    given: dict = field(default_factory=lambda: defaultdict(int))
    violated: dict = field(default_factory=lambda: defaultdict(int))
    rounds: int = 0

    @property
    def kills(self):
        return sum(count for (name, _), count in self.given.items() if name == "SIGKILL")

    def take(self, struck, violated):
        """Count the faults of a round: each with the seconds until the run went on, or None where it was over."""
        self.rounds += 1
        for fault, seconds in struck:
            key = (fault.name, fault.victim)
            self.given[key] += 1
            self.violated[key] += violated
            if seconds is not None:
                self.recovered_s[key].append(seconds)

    def rows(self):
        """Give the rows of the campaign's table."""
        yield "processes", "all", {"rounds": self.rounds, "kills": self.kills}
        for key in sorted(self.given):
            seconds = self.recovered_s[key]
            median = f"{statistics.median(seconds):.1f}" if seconds else "–"
            figures = {"done": self.given[key], "violations": self.violated[key], "median time to go on, s:": median}
            yield "processes", " of ".join(key), figures
