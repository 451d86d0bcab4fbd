"""Whether probabilities mean what they say: of decisions that claim 90 %, are nine in ten right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS", "Bin", "calibration_error", "reliability"]

BINS = 10
"""Of equal width."""

_95 = 1.96  # standard deviations


@dataclass(frozen=True, slots=True)
class Bin:
    """Decisions of about one confidence."""

    confidence: float  # mean probability that they claimed, in [0, 1]
    right: float  # share of them that were right, in [0, 1]
    n: int  # how many they are, > 0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `right`, in [0, 1] (Wilson, 1927).

        >>> tuple(round(bound, 2) for bound in Bin(0.9, 0.9, 10).interval)
        (0.6, 0.98)
        """
        z = _95**2 / self.n
        middle, half = self.right + z / 2, _95 * np.sqrt(self.right * (1 - self.right) / self.n + z / (4 * self.n))
        return float((middle - half) / (1 + z)), float((middle + half) / (1 + z))


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """The decisions in bins of confidence, without the empty ones.

    Args:
        confidence: (n,) probabilities of being right, in [0, 1].
        right: (n,) whether they were.
    """
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    members = [which == b for b in np.unique(which)]
    return tuple(Bin(float(confidence[m].mean()), float(right[m].mean()), int(m.sum())) for m in members)


def calibration_error(bins: Sequence[Bin]) -> float:
    """How far claims and truth are apart, on average over the decisions, in [0, 1] (ECE; Guo et al., 2017).

    >>> round(calibration_error([Bin(0.9, 0.8, 10), Bin(0.5, 0.8, 30)]), 3)
    0.25
    """
    return sum(one.n * abs(one.confidence - one.right) for one in bins) / max(1, sum(one.n for one in bins))
