"""The same decisions made in other ways, in the same minutes: one thread each, in turn, hop by hop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream.bench import OnDone, timed_ms
from stream.clock import HOP_SAMPLES
from stream.records import Block, FloatArray

__all__ = ["WARM_HOPS", "Rival", "Way", "race"]

OURS = "livespeaker, windows of 0.5 to 4 s"
WARM_HOPS = 40  # not timed: 4 s, until every window is full


class Rival(Protocol):
    """Decides in ways of its own, about the same sound."""

    def ask(self, end: int) -> dict[str, float]:
        """Milliseconds that a decision took, by way, about windows whose last sample is the one before `end`."""


@dataclass(frozen=True, slots=True)
class Way:
    """What one decision costs in one way."""

    name: str
    decisions: int  # timed
    p50_ms: float
    p95_ms: float
    ratio: float  # of the p50, to ours, which comes first


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
    spent: dict[str, list[float]] = {OURS: []}
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
    ours = float(np.median(spent[OURS]))
    return tuple(
        Way(name, len(each), float(np.median(each)), float(np.percentile(each, 95)), float(np.median(each)) / ours)
        for name, each in spent.items()
    )
