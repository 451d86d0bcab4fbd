"""A turn that holds several voices, one after the other, divided where another begins.

The decisions follow names: two strangers who speak without a pause are one "unknown" to them, and a stranger who
answers somebody at once may go on under that name. What was said in the 3 s before a moment and in the 3 s after it
tells one voice from two. The least alike moment of a turn divides it, and so on in both parts.
"""

from collections.abc import Reversible, Sequence
from dataclasses import replace
from itertools import groupby, pairwise, takewhile

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder, Pooling
from model.scoring import Judge
from model.weights import Weights
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import EnrolmentError
from stream.records import Block, Embedding, Turn

__all__ = ["NEAR_HOPS", "Called", "check_one_voice", "divide", "parts_of", "within"]

PART_HOPS = 12
"""Hops of speech that one voice has, at least, in a turn of several."""

NEAR_HOPS = 30
"""Hops of speech before and after a moment that are compared."""

OTHER_LLR = -1.0
"""Natural-log likelihood ratio of "the same voice", below which they are two."""

SPEECH = 0.5
"""Mean probability from which a hop is speech."""

Called = tuple[str, float]
"""What a part of a turn is called, and how probably that is right, in [0, 1]."""


def within(hops: Reversible[Embedding], turn: Turn) -> list[Embedding]:
    """The hops that begin in a turn, of some in their order; those after it are few, those before it not looked at."""
    since = [*takewhile(lambda hop: hop.start >= turn.start, reversed(hops))]
    return [hop for hop in reversed(since) if hop.start < turn.end]


def divide(sums: NDArray[np.float64], pooling: Pooling, weights: Weights) -> list[slice]:
    """Where one voice speaks, from the first hop to the last; one slice unless another voice begins.

    Args:
        sums: (n, n_sums) of hops of speech.
        pooling: embeds them.
        weights: whose cohort and calibration to use.
    """
    total = np.concatenate([np.zeros((1, pooling.n_sums)), np.cumsum(sums, axis=0)])
    return [slice(*span) for span in _divided(total, 0, len(sums), pooling, weights)]


def _divided(
    total: NDArray[np.float64], first: int, end: int, pooling: Pooling, weights: Weights
) -> list[tuple[int, int]]:
    cuts = np.arange(first + PART_HOPS, end - PART_HOPS + 1, 2)
    if not len(cuts):
        return [(first, end)]
    before, before_s = pooling.embed(total[cuts] - total[np.maximum(first, cuts - NEAR_HOPS)])
    after, after_s = pooling.embed(total[np.minimum(end, cuts + NEAR_HOPS)] - total[cuts])
    llr = np.diagonal(Judge(before, weights).llr(after, np.minimum(before_s, after_s)))
    at = int(llr.argmin())
    if llr[at] >= OTHER_LLR:
        return [(first, end)]
    cut = int(cuts[at])
    return [*_divided(total, first, cut, pooling, weights), *_divided(total, cut, end, pooling, weights)]


def check_one_voice(encoder: Encoder, sound: Sequence[Block], rate: int) -> None:
    """See that one person speaks in what is to be enrolled, where it is one turn: nobody has heard it again as a whole.

    Args:
        encoder: the network.
        sound: of a turn, or of several that have a name in common; these are not looked at.
        rate: samples per second.

    Raises:
        EnrolmentError: another voice begins in it.
    """
    if not sound or any(one.start + len(one.samples) != following.start for one, following in pairwise(sound)):
        return
    hops = encoder.hops(np.concatenate([block.samples for block in sound]), sample_rate=rate)
    spoken = [hop.sums for hop in hops if hop.speech >= SPEECH]
    parts = divide(np.stack(spoken), Pooling(encoder.weights), encoder.weights) if spoken else []
    if len(parts) > 1:
        said = " and ".join(f"{(part.stop - part.start) * HOP_SAMPLES / SAMPLE_RATE:.1f} s" for part in parts)
        raise EnrolmentError(
            f"expected one voice in this turn, heard {len(parts)} ({said}); press e when one of them has spoken alone"
        )


def parts_of(turn: Turn, parts: Sequence[Sequence[Embedding]], named: Sequence[Called]) -> list[Turn]:
    """A turn as the turns that it is made of: neighbours of one name are one.

    Args:
        turn: the whole; its ends stay.
        parts: the hops of speech of each voice, at least one part.
        named: what each part is called.
    """
    runs = [[*run] for _, run in groupby(range(len(parts)), key=lambda i: named[i][0])]
    # Between two names a turn ends with the last hop of the one.
    starts = [turn.start, *(parts[run[0]][0].start for run in runs[1:])]
    ends = [*(parts[run[-1]][-1].start + HOP_SAMPLES for run in runs[:-1]), turn.end]
    sure = [float(np.average([named[i][1] for i in run], weights=[len(parts[i]) for i in run])) for run in runs]
    return [
        replace(turn, start=start, end=end, name=named[run[0]][0], probability=probability)
        for run, start, end, probability in zip(runs, starts, ends, sure, strict=True)
    ]
