"""From scores to probabilities that know how much speech they heard.

The same score over half a second says less than over four. A logistic regression per length of speech
(Brümmer and du Preez, 2006) turns it into a log likelihood ratio "this person" against "anybody else";
between the lengths it is interpolated over the logarithm of the seconds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.metrics import fit_llr
from stream.errors import UsageError

__all__ = ["Calibration", "fit_calibration", "posterior"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """llr = slope * score + offset, by seconds of speech."""

    seconds: tuple[float, ...]  # of speech in the tested window, ascending
    slope: tuple[float, ...]  # natural-log units per unit of the score, > 0
    offset: tuple[float, ...]  # natural-log units

    def __post_init__(self) -> None:
        if not len(self.seconds) == len(self.slope) == len(self.offset) > 0:
            raise UsageError(
                f"expected as many slopes and offsets as seconds, got {len(self.slope)}, {len(self.offset)} "
                f"and {len(self.seconds)}; use the calibration that came with the weights"
            )

    def llr(self, score: NDArray[np.floating], speech_s: NDArray[np.floating]) -> NDArray[np.float64]:
        """Log likelihood ratios (natural) of "the same voice" against "another".

        Args:
            score: (n, people).
            speech_s: (n,) seconds of speech behind each row.

        Returns:
            (n, people). Shrinks to 0 as the speech goes below the shortest calibrated length.
        """
        at = np.log(np.maximum(speech_s, 1e-3))
        grid = np.log(self.seconds)
        slope, offset = np.interp(at, grid, self.slope), np.interp(at, grid, self.offset)
        trust = np.minimum(np.asarray(speech_s) / self.seconds[0], 1.0)
        scaled: NDArray[np.float64] = (slope[:, None] * score + offset[:, None]) * trust[:, None]
        return scaled


def fit_calibration(
    seconds: tuple[float, ...], scores: list[NDArray[np.floating]], targets: list[NDArray[np.bool_]]
) -> Calibration:
    """Fit one logistic regression per length of speech, targets and others weighing the same.

    Args:
        seconds: the lengths.
        scores: for each length, (n,).
        targets: for each length, (n,) True where the voice is the same.
    """
    fits = [fit_llr(score, target) for score, target in zip(scores, targets, strict=True)]
    return Calibration(seconds, tuple(slope for slope, _ in fits), tuple(offset for _, offset in fits))


def posterior(llr: NDArray[np.floating], unknown: float) -> NDArray[np.float64]:
    """Probabilities of every person and, last, of "unknown".

    Args:
        llr: (people,) natural-log likelihood ratios against "unknown".
        unknown: prior probability that a voice is nobody's, in (0, 1]; the people share the rest.

    Returns:
        (people + 1,), sums to 1.
    """
    logs = np.full(len(llr) + 1, np.log(unknown))
    logs[:-1] = llr + np.log((1.0 - unknown) / max(1, len(llr)))
    weights: NDArray[np.float64] = np.exp(logs - logs.max())
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities
