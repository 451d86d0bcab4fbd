"""The same decisions made in other ways, in the same minutes: one thread each, in turn, hop by hop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream.bench import OnDone, middle_and_worst, timed_ms
from stream.clock import HOP_SAMPLES
from stream.records import Block, FloatArray

__all__ = ["WARM_HOPS", "Rival", "Way", "race"]

OURS = "livespeaker, windows of 0.5 to 4 s"
WARM_HOPS = 40  # not timed: 4 s, until every window is full


class Rival(Protocol):
    """Decides in ways of its own, about the same sound."""

    def ask(self, end: int) -> dict[str, tuple[float, float]]:
        """By way, the milliseconds that a decision took, by the wall and of processor time.

        Args:
            end: one past the last sample of the windows that are decided about.
        """


@dataclass(frozen=True, slots=True)
class Way:
    """What one decision costs in one way."""

    name: str
    decisions: int  # timed
    p50_ms: float
    p95_ms: float
    cpu_ms: float  # of processor time, p50
    ratio: float  # of that, to ours, which comes first


def race(
    push: Callable[[Block], object], rivals: Sequence[Rival], samples: FloatArray, hops: int, on_done: OnDone
) -> tuple[Way, ...]:
    """Ours first, then those of the rivals.

    Args:
        push: decides our way, hop by hop.
        rivals: the others; each has the sound already.
        samples: (n,) that sound, mono at 16 kHz, longer than 4 s; heard again and again.
        hops: decisions to time.
        on_done: is told how many decisions are done.
    """
    whole = len(samples) // HOP_SAMPLES
    spent: dict[str, list[tuple[float, float]]] = {OURS: []}
    for hop in range(WARM_HOPS + hops):
        at = hop % whole * HOP_SAMPLES
        ms = timed_ms(push, Block(hop * HOP_SAMPLES, samples[at : at + HOP_SAMPLES]))
        if hop < WARM_HOPS:
            continue
        spent[OURS].append(ms)
        end = max(at, WARM_HOPS * HOP_SAMPLES) + HOP_SAMPLES  # their windows do not reach around the end
        for rival in rivals:
            for name, theirs in rival.ask(end).items():
                spent.setdefault(name, []).append(theirs)
        on_done("decisions", hop + 1 - WARM_HOPS, hops)
    *_, ours = middle_and_worst(np.array(spent[OURS]))
    return tuple(
        Way(name, len(each), p50, p95, cpu, cpu / ours)
        for name, each in spent.items()
        for p50, p95, cpu in [middle_and_worst(np.array(each))]
    )
