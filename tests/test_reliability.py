"""Bins of confidence, and what evaluations show: nothing is lost in them, and they say how far claims are off."""

from pathlib import Path

import numpy as np
import pytest

from model.pictures import draw_confusion
from model.reliability import BINS, Bin, calibration_error, reliability
from model.report import confusion_table, mistakes_table


def decisions(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """So many claims, right as often as they say."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(size=n)
    return confidence, rng.uniform(size=n) < confidence


def test_bins_hold_every_decision_once():
    confidence, right = decisions(500)
    found = reliability(confidence, right)
    slow = [
        (confidence[inside].mean(), right[inside].mean(), inside.sum())
        for at in range(BINS)
        if (inside := (confidence >= at / BINS) & (confidence < (at + 1) / BINS)).any()
    ]
    assert [(one.confidence, one.right, one.n) for one in found] == [pytest.approx(each) for each in slow]
    assert sum(one.n for one in found) == 500


def test_certainty_is_in_the_last_bin_and_empty_bins_are_left_out():
    [low, high] = reliability(np.array([0.0, 1.0, 1.0, 0.95]), np.array([True, True, False, True]))
    assert (low.n, low.right) == (1, 1.0)
    assert (high.n, high.right) == (3, pytest.approx(2 / 3))
    assert reliability(np.zeros(0), np.zeros(0, bool)) == ()
    assert calibration_error(()) == 0.0


def test_honest_claims_have_a_small_error_and_boasts_a_large_one():
    confidence, right = decisions(20_000)
    assert calibration_error(reliability(confidence, right)) < 0.02
    boasts = np.full(len(right), 0.95)
    assert calibration_error(reliability(boasts, right)) == pytest.approx(0.95 - right.mean())


def test_the_interval_holds_the_truth_19_times_in_20():
    rng = np.random.default_rng(1)
    hits = rng.binomial(30, 0.9, size=2_000) / 30
    inside = [low <= 0.9 <= high for low, high in (Bin(0.9, float(share), 30).interval for share in hits)]
    assert 0.92 < np.mean(inside) < 0.98


def cells(shown) -> list[list[str]]:
    return [list(column) for column in zip(*(column.cells for column in shown.columns), strict=True)]


def test_a_matrix_shows_what_changed_and_a_list_what_is_wrong_most_often():
    before = np.array([[8, 1, 1], [0, 10, 0], [2, 0, 8]])
    after = np.array([[9, 0, 1], [0, 10, 0], [3, 0, 7]])
    assert cells(confusion_table(["Ann", "Bo"], before, after)) == [
        ["1 Ann", "8>9", "1>0", "1"],
        ["2 Bo", ".", "10", "."],
        ["strangers", "2>3", ".", "8>7"],
    ]
    assert cells(mistakes_table(["Ann", "Bo"], before, after)) == [
        ["strangers", "Ann", "10", "2", "3"],
        ["Ann", "unknown", "10", "1", "1"],
        ["Ann", "Bo", "10", "1", "0"],
    ]


def test_a_name_in_a_script_that_the_font_lacks_is_drawn_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    windows = np.array([[20, 0, 4], [0, 22, 2], [1, 0, 249]])
    draw_confusion(["\u738b", "$x_"], {"before": windows, "after": windows}, tmp_path / "new" / "c.png")
    assert (tmp_path / "new" / "c.png").read_bytes().startswith(b"\x89PNG")
    assert capfd.readouterr() == ("", "")
