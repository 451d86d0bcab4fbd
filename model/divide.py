"""A turn that holds several voices, one after the other, divided where another begins.

The decisions follow names: two strangers who speak without a pause are one "unknown" to them, and a stranger who
answers somebody at once may go on under that name. What was said in the 3 s before a moment and in the 3 s after it
tells one voice from two. The least alike moment of a turn divides it, and so on in both parts.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from model.encoder import Pooling
from model.scoring import Judge
from model.weights import Weights
from stream.clock import HOP_SAMPLES
from stream.records import Embedding, Turn

__all__ = ["NEAR_HOPS", "Called", "divide", "parts_of"]

PART_HOPS = 12
"""Hops of speech that one voice has, at least, in a turn of several."""

NEAR_HOPS = 30
"""Hops of speech before and after a moment that are compared."""

OTHER_LLR = -2.0
"""Natural-log likelihood ratio of "the same voice", below which they are two."""

Called = tuple[str, float]
"""What a part of a turn is called, and how probably that is right, in [0, 1]."""


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
