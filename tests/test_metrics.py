"""The measures of the field, against slow references and where their value is known."""

import math

import numpy as np
import pytest

from model.metrics import bootstrap_eer, cllr, detection_curve, equal_error_rate, fit_llr, min_dcf


def scored(seed: int, apart: float, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores of two kinds, `apart` deviations apart."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) < n // 4
    return rng.permuted(rng.standard_normal(n)) + apart * target, target


def test_the_curve_is_what_counting_at_every_threshold_gives():
    scores, target = scored(0, 1.0, 60)
    misses, alarms = detection_curve(scores, target)
    for i, threshold in enumerate([-np.inf, *np.sort(scores)]):
        assert misses[i] == pytest.approx(np.mean(scores[target] <= threshold))
        assert alarms[i] == pytest.approx(np.mean(scores[~target] > threshold))


def test_the_equal_error_rate_of_two_normal_kinds_is_the_known_one():
    scores, target = scored(1, 2.0, 200_000)
    expected = 0.5 * math.erfc(1.0 / math.sqrt(2.0))  # half-way between the two means
    assert equal_error_rate(scores, target) == pytest.approx(expected, abs=0.003)
    assert equal_error_rate(-scores, target) == pytest.approx(1 - expected, abs=0.003)


def test_the_least_detection_cost_is_that_of_the_best_threshold():
    scores, target = scored(2, 2.0)
    thresholds = [-np.inf, *scores]
    slow = min((0.01 * np.mean(scores[target] <= t) + 0.99 * np.mean(scores[~target] > t)) / 0.01 for t in thresholds)
    assert min_dcf(scores, target) == pytest.approx(slow)
    assert min_dcf(np.zeros(400), target) == pytest.approx(1.0)  # to accept nobody costs every target


def test_order_alone_counts_for_error_rates_and_size_for_cllr():
    scores, target = scored(3, 2.0)
    assert equal_error_rate(np.exp(scores), target) == equal_error_rate(scores, target)
    assert min_dcf(np.exp(scores), target) == min_dcf(scores, target)
    # Two normal kinds, one deviation wide and 2 apart: the log likelihood ratio is 2 x - 2.
    honest = cllr(2 * scores - 2, target)
    assert honest < cllr(10 * (2 * scores - 2), target)
    assert honest < cllr(0.1 * (2 * scores - 2), target) < 1.0


def test_fitted_ratios_are_those_of_the_kinds():
    scores, target = scored(4, 2.0, 100_000)
    slope, offset = fit_llr(scores, target)
    assert slope == pytest.approx(2.0, abs=0.05)
    assert offset == pytest.approx(-2.0, abs=0.05)


def test_the_interval_holds_the_rate_and_narrows_with_more_speakers():
    def interval(speakers: int) -> tuple[float, float, float]:
        rng = np.random.default_rng(5)
        voice = rng.standard_normal((speakers, 3))
        heard = voice.repeat(4, axis=0) + 0.7 * rng.standard_normal((4 * speakers, 3))
        who = np.arange(speakers).repeat(4)
        first, second = np.triu_indices(len(who), 1)
        scores = -np.linalg.norm(heard[first] - heard[second], axis=1)
        target, pair = who[first] == who[second], np.stack([who[first], who[second]], axis=1)
        low, high = bootstrap_eer(scores, target, pair)
        assert (low, high) == bootstrap_eer(scores, target, pair)
        return low, equal_error_rate(scores, target), high

    few, many = interval(8), interval(80)
    assert few[0] <= few[1] <= few[2]
    assert many[0] < many[1] < many[2]
    assert many[2] - many[0] < 0.6 * (few[2] - few[0])
