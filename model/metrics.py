"""How well scores tell targets from others: equal error rate, detection cost, log-likelihood-ratio cost.

The three of the field (Brümmer and du Preez, 2006; NIST's evaluations). EER and minDCF judge the order of the
scores alone; Cllr judges scores as what they claim to be, natural-log likelihood ratios.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["bootstrap_eer", "cllr", "detection_curve", "equal_error_rate", "fit_llr", "min_dcf"]

Floats = NDArray[np.floating]
Booleans = NDArray[np.bool_]


def detection_curve(
    scores: Floats, target: Booleans, weight: Floats | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n + 1,) miss rates, rising, and false-alarm rates, falling, at every threshold between two scores.

    Args:
        scores: (n,), higher for more alike.
        target: (n,), True where the voice is the same.
        weight: (n,), how often each trial counts; once each unless told.
    """
    order = np.argsort(scores, kind="stable")
    return _rates(target[order], np.ones(len(order)) if weight is None else weight[order])


def _rates(target: Booleans, weight: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Of trials in the order of their scores.
    hits, others = np.where(target, weight, 0.0), np.where(target, 0.0, weight)
    misses = np.concatenate([[0.0], np.cumsum(hits)]) / max(hits.sum(), 1e-12)
    alarms = 1.0 - np.concatenate([[0.0], np.cumsum(others)]) / max(others.sum(), 1e-12)
    return misses, alarms


def equal_error_rate(scores: Floats, target: Booleans) -> float:
    """Where misses are as frequent as false alarms, in [0, 1], interpolated between the two thresholds beside it.

    >>> equal_error_rate(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False]))
    0.0
    >>> equal_error_rate(np.array([0.9, 0.2, 0.8, 0.1]), np.array([True, True, False, False]))
    0.5
    """
    return _crossing(*detection_curve(scores, target))


def _crossing(misses: NDArray[np.float64], alarms: NDArray[np.float64]) -> float:
    after = int(np.argmax(misses >= alarms))
    if after == 0:
        return float(misses[0])
    before = after - 1
    gap_before, gap_after = alarms[before] - misses[before], misses[after] - alarms[after]
    share = gap_before / (gap_before + gap_after) if gap_before + gap_after else 0.0
    return float(misses[before] + share * (misses[after] - misses[before]))


def min_dcf(scores: Floats, target: Booleans, *, p_target: float = 0.01) -> float:
    """The least detection cost over all thresholds, 1 for saying nothing; a miss costs as much as a false alarm.

    >>> min_dcf(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False]))
    0.0
    """
    misses, alarms = detection_curve(scores, target)
    cost = p_target * misses + (1 - p_target) * alarms
    return float(cost.min() / min(p_target, 1 - p_target))


def cllr(llr: Floats, target: Booleans) -> float:
    """Cost of log likelihood ratios in bits: 0 for knowing, 1 for saying nothing, more for being misled.

    >>> cllr(np.zeros(4), np.array([True, True, False, False]))
    1.0
    """
    missed, alarmed = np.logaddexp(0.0, -llr[target]).mean(), np.logaddexp(0.0, llr[~target]).mean()
    return float((missed + alarmed) / 2 / np.log(2))


def fit_llr(scores: Floats, target: Booleans) -> tuple[float, ...]:
    """Slopes and offset that make scores natural-log likelihood ratios, both kinds of trial weighing the same.

    Args:
        scores: (n,), or (n, k) for k scores of one trial.
        target: (n,).

    Returns:
        k slopes and the offset.
    """
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(C=1e4, class_weight="balanced").fit(scores.reshape(len(target), -1), target)
    return (*fit.coef_[0].tolist(), float(fit.intercept_[0]))


def bootstrap_eer(
    scores: Floats, target: Booleans, pair: NDArray[np.integer], *, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the equal error rate over other draws of as many speakers (Efron, 1979).

    Speakers are drawn, not trials: the trials of one speaker go together.

    Args:
        scores: (n,).
        target: (n,).
        pair: (n, 2), numbers of the two speakers of each trial.
        draws: how many.
        seed: of the draws.
    """
    order = np.argsort(scores, kind="stable")
    rates = list(_drawn(target[order], pair[order], draws, np.random.default_rng(seed)))
    low, high = np.percentile(rates, [2.5, 97.5]) if rates else (0.0, 1.0)
    return float(low), float(high)


def _drawn(target: Booleans, pair: NDArray[np.integer], draws: int, rng: np.random.Generator) -> Iterator[float]:
    speakers = int(pair.max()) + 1
    for _ in range(draws):
        times = np.bincount(rng.integers(speakers, size=speakers), minlength=speakers).astype(np.float64)
        # A speaker drawn twice makes no trials against itself: those would be of other people's kind.
        weight = np.where(target, times[pair[:, 0]], times[pair[:, 0]] * times[pair[:, 1]])
        if weight[target].sum() > 0 and weight[~target].sum() > 0:
            yield _crossing(*_rates(target, weight))
