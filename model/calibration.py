"""From scores to probabilities that know how much speech they heard.

The same score over half a second says less than over four. A logistic regression per length of speech
(Brümmer and du Preez, 2006) turns it into a log likelihood ratio "this person" against "anybody else";
between the lengths it is interpolated over the logarithm of the seconds.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from model.metrics import fit_llr
from stream.errors import UsageError

__all__ = ["Calibration", "Fusion", "fit_calibration", "fit_fusion", "posterior"]


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
        slope, offset, trust = _at(speech_s, self.seconds, self.slope, self.offset)
        scaled: NDArray[np.float64] = (slope * score + offset) * trust
        return scaled


@dataclass(frozen=True, slots=True)
class Fusion:
    """llr = slope * score + evidence_slope * evidence + offset, by seconds of speech: for people whom a head knows."""

    seconds: tuple[float, ...]  # of speech in the tested window, ascending
    slope: tuple[float, ...]  # natural-log units per unit of the score, >= 0
    evidence_slope: tuple[float, ...]  # of the head's evidence, >= 0
    offset: tuple[float, ...]  # natural-log units

    def __post_init__(self) -> None:
        if not len(self.seconds) == len(self.slope) == len(self.evidence_slope) == len(self.offset) > 0:
            raise UsageError(
                f"expected as many slopes and offsets as seconds, got {len(self.slope)}, {len(self.evidence_slope)}, "
                f"{len(self.offset)} and {len(self.seconds)}; use the fusion that came with the weights"
            )

    def llr(
        self, score: NDArray[np.floating], evidence: NDArray[np.floating], speech_s: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """As `Calibration.llr`, of a score and a head's evidence, both (n, people)."""
        columns = self.slope, self.evidence_slope, self.offset
        slope, evidence_slope, offset, trust = _at(speech_s, self.seconds, *columns)
        scaled: NDArray[np.float64] = (slope * score + evidence_slope * evidence + offset) * trust
        return scaled


def _at(
    speech_s: NDArray[np.floating], seconds: tuple[float, ...], *columns: tuple[float, ...]
) -> tuple[NDArray[np.float64], ...]:
    # Every column at every row's seconds, (n, 1), and last how far a row is to be trusted.
    grid, *tables = _arrays(seconds, *columns)
    at, trust = np.log(np.maximum(speech_s, 1e-3)), np.minimum(np.asarray(speech_s) / seconds[0], 1.0)
    return tuple(column[:, None] for column in (*(np.interp(at, grid, table) for table in tables), trust))


@cache
def _arrays(seconds: tuple[float, ...], *columns: tuple[float, ...]) -> tuple[NDArray[np.float64], ...]:
    # Asked for at every hop; a process knows a few calibrations.
    return np.log(seconds), *map(np.array, columns)


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


def fit_fusion(
    seconds: tuple[float, ...],
    scores: list[NDArray[np.floating]],
    evidence: list[NDArray[np.floating]],
    targets: list[NDArray[np.bool_]],
) -> Fusion:
    """As `fit_calibration`, on scores and evidence, for each length (n,) each. Neither counts against a person."""
    slopes = []
    for score, said, target in zip(scores, evidence, targets, strict=True):
        # A slope below 0 is chance: without what it belongs to, the other one says it all.
        for mask in ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0)):
            fit = fit_llr(np.stack([score, said], axis=1) * mask, target)
            if min(fit[:-1]) >= 0:
                break
        slopes.append(fit)
    score_slope, evidence_slope, offset = (tuple(column) for column in zip(*slopes, strict=True))
    return Fusion(seconds, score_slope, evidence_slope, offset)


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
