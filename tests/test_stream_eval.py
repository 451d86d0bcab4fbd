"""Following a conversation, measured: on turns that are made up, so that every figure is known."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from model.peer_stream import STEP, WINDOW, PeerTalk, best_threshold, told
from model.stream_eval import Heard, Measured, measure, summarise
from stream.clock import SAMPLE_RATE
from stream.records import UNKNOWN, Turn

S = SAMPLE_RATE
PEOPLE = ("Ann Lee", "Bo")
LENGTH = 60 * S


def turn(start_s: float, end_s: float, name: str, final_s: float | None = None, *, final: bool = True) -> Turn:
    at = round((end_s if final_s is None else final_s) * S)
    return Turn(round(start_s * S), round(end_s * S), name, 1.0, final, at, at if final else None)


REFERENCE = [
    turn(1, 6, "Ann_Lee"), turn(7, 12, "Bo"), turn(12, 17, "Eve"), turn(20, 25, "Ann_Lee"), turn(30, 40, "Mallory"),
]  # fmt: skip
PERFECT = [
    turn(1, 6, "Ann Lee"), turn(7, 12, "Bo"), turn(12, 17, UNKNOWN), turn(20, 25, "Ann Lee"), turn(30, 40, "guest-1"),
]  # fmt: skip


def on_screen(turns: list[Turn], guess_s: float, settled_s: float) -> list[tuple[int, Turn | None]]:
    """Every turn is guessed so long after its start, and settled so long after it."""
    shown: list[tuple[int, Turn | None]] = []
    for at in range(S // 10, LENGTH, S // 10):
        now = next((t for t in turns if t.start + guess_s * S <= at <= t.end), None)
        settled = now is not None and at >= now.start + settled_s * S
        shown.append((at, now and Turn(now.start, min(at, now.end), now.name, 1.0, settled)))
    return shown


def measured(turns: list[Turn], shown: list[tuple[int, Turn | None]] | None = None) -> Measured:
    return measure(REFERENCE, Heard(turns, shown or []), PEOPLE, LENGTH)


def test_what_is_all_right_has_no_error() -> None:
    one = measured(PERFECT, on_screen(PERFECT, 0.5, 1.5))
    found = summarise("g", "s", [one])
    assert (found.error_rate, found.error_low, found.error_high) == (0.0, 0.0, 0.0)
    assert (found.confusion, found.missed, found.false_alarm, found.strangers_named) == (0.0, 0.0, 0.0, 0.0)
    assert (found.precision, found.recall, found.never, found.changes_caught) == (1.0, 1.0, 0.0, 1.0)
    assert found.first_p50_s == pytest.approx(0.5)
    assert found.settled_p95_s == pytest.approx(1.5)
    assert found.false_names_per_hour is None


def test_marks_of_two_voices_are_counted_where_two_speak() -> None:
    reference = [turn(1, 6, "Ann_Lee"), turn(5, 9, "Bo"), turn(8.8, 12, "Eve"), turn(20, 25, "Bo"), turn(24, 28, "Eve")]
    turns = [turn(1, 6, "Ann Lee"), turn(6, 9, "Bo"), turn(20, 24.5, "Bo"), turn(30, 32, UNKNOWN)]
    marked = [replace(one, overlap=mark) for one, mark in zip(turns, (True, True, False, True), strict=True)]
    one = measure(reference, Heard(marked, []), PEOPLE, LENGTH)
    # 1 s at 5 s and at 24 s; the 0.2 s at 8.8 s are too short to be missed, but no mark there is wrong.
    assert (one.overlaps, one.overlaps_marked, one.marks, one.marks_right) == (2, 1, 3, 2)
    found = summarise("g", "s", [one])
    assert (found.overlaps_marked, found.marks_right) == (0.5, pytest.approx(2 / 3))
    assert (found.overlaps, found.marks, found.second_names, found.second_names_right) == (2, 3, 0, None)


def test_a_second_name_is_right_where_that_person_speaks_with_another() -> None:
    reference = [turn(1, 6, "Ann_Lee"), turn(5, 9, "Bo"), turn(20, 25, "Bo"), turn(24, 28, "Eve"), turn(28, 30, "Bo")]
    turns = [turn(1, 5.5, "Ann Lee"), turn(5.5, 9, "Bo"), turn(20, 30, UNKNOWN), turn(28.5, 30, "Bo")]
    seconds = ("Bo", "Ann Lee", "Ann Lee", "Ann Lee")
    named = [replace(one, overlap=True, second=second) for one, second in zip(turns, seconds, strict=True)]
    one = measure(reference, Heard(named, []), PEOPLE, LENGTH)
    assert (one.marks, one.marks_right, one.second_names, one.second_names_right) == (4, 3, 4, 2)
    found = summarise("g", "s", [one, one])
    assert (found.second_names, found.second_names_right) == (8, 0.5)


def test_everybody_unknown_is_wrong_for_as_long_as_the_enrolled_speak() -> None:
    found = summarise("g", "s", [measured([turn(t.start / S, t.end / S, UNKNOWN) for t in PERFECT])])
    # 30 s without 0.25 s at either end of the five turns; where two meet, theirs is the same place.
    assert found.error_rate == found.confusion == pytest.approx((5 - 0.5 + 5 - 0.5 + 5 - 0.5) / (30 - 2.5))
    assert (found.missed, found.false_alarm, found.strangers_named) == (0.0, 0.0, 0.0)
    assert (found.precision, found.recall) == (2 / 5, 2 / 5)
    assert (found.never, found.first_p50_s) == (1.0, None)


def test_nothing_told_is_all_missed() -> None:
    found = summarise("g", "s", [measured([])])
    assert (found.error_rate, found.missed, found.recall, found.precision) == (1.0, 1.0, 0.0, None)
    assert (found.changes_caught, found.never) == (0.0, 1.0)


def test_permuting_the_people_permutes_nothing_that_is_counted() -> None:
    swap = {"Ann Lee": "Bo", "Bo": "Ann Lee", "Ann_Lee": "Bo"}
    turns = [turn(1, 7, "Ann Lee"), turn(7, 13, "Ann Lee"), turn(13, 17, "Bo"), turn(30, 40, UNKNOWN)]

    def swapped(given: list[Turn]) -> list[Turn]:
        return [turn(t.start / S, t.end / S, swap.get(t.name, t.name)) for t in given]

    one = measure(REFERENCE, Heard(turns, on_screen(turns, 0.4, 1.0)), PEOPLE, LENGTH)
    two = measure(swapped(REFERENCE), Heard(swapped(turns), on_screen(swapped(turns), 0.4, 1.0)), PEOPLE, LENGTH)
    assert summarise("g", "s", [one]) == summarise("g", "s", [two])


def test_a_shift_within_the_collar_costs_nothing_and_a_larger_one_does() -> None:
    for by_s, free in ((0.2, True), (-0.2, True), (0.4, False)):
        moved = [turn(t.start / S + by_s, t.end / S + by_s, t.name) for t in PERFECT]
        assert (summarise("g", "s", [measured(moved)]).error_rate == 0) == free


def test_parts_of_the_error_are_told_apart() -> None:
    turns = [turn(1, 6, "Bo"), turn(12, 17, UNKNOWN), turn(20, 25, "Ann Lee"), turn(26, 28, "Bo"), turn(30, 40, "Bo")]
    found = summarise("g", "s", [measured(turns)])
    judged = 30 - 2.5
    assert found.confusion == pytest.approx((4.5 + 9.5) / judged)
    assert found.missed == pytest.approx(4.5 / judged)
    assert found.false_alarm == pytest.approx(2 / judged)
    assert found.error_rate == pytest.approx((14 + 4.5 + 2) / judged)
    assert found.strangers_named == pytest.approx(9.5 / (4.5 + 9.5), abs=0.01)
    assert (found.precision, found.recall) == (2 / 5, 2 / 5)


def test_where_two_speak_at_once_two_names_are_wanted() -> None:
    reference = [turn(1, 11, "Ann_Lee"), turn(9, 15, "Bo")]
    one = measure(reference, Heard([turn(1, 11, "Ann Lee"), turn(11, 15, "Bo")], []), PEOPLE, 20 * S)
    assert (one.missed, one.confusion) == (pytest.approx(1.5), 0.0)
    assert (one.turns, one.right_turns, one.said, one.found, one.changes) == (2, 2, 2, 2, 1)


def test_the_first_right_name_is_a_guess_and_a_wrong_one_does_not_count() -> None:
    shown = [
        (round(1.4 * S), turn(1, 1.3, "Bo", final=False)),
        (round(2.0 * S), turn(1, 1.9, "Ann Lee", final=False)),
        (round(3.0 * S), turn(1, 2.9, "Ann Lee")),
        (round(7.2 * S), turn(1, 6, "Ann Lee")),  # still the old one: nothing of the new turn is in it
        (round(7.9 * S), turn(7, 7.8, "Bo")),
    ]
    one = measured([turn(1, 6, "Ann Lee", 7.5), turn(7, 12, "Bo", 13), turn(20, 25, "Ann Lee", 26.5)], shown)
    np.testing.assert_allclose(one.first_s, [1.0, 0.9, 6.5])  # the last name came with the final turn alone
    np.testing.assert_allclose(one.settled_s, [2.0, 0.9, 6.5])
    assert (one.known, one.guesses) == (3, 3)


def test_a_change_is_caught_when_another_name_is_shown_within_a_second() -> None:
    def caught(*shown: tuple[float, Turn]) -> int:
        return measured([], [(round(at * S), what) for at, what in shown]).caught

    ann = (5.5, turn(1, 5.4, "Ann Lee"))
    assert caught(ann, (7.9, turn(7, 7.8, "Bo"))) == 1
    assert caught(ann, (8.1, turn(7, 8.0, "Bo"))) == 0  # too late
    assert caught(ann, (7.9, turn(7, 7.8, "Ann Lee"))) == 0
    assert caught(ann, (7.9, turn(7, 7.8, UNKNOWN))) == 1  # wrong, but somebody else
    stale = (6.9, turn(1, 6.8, UNKNOWN))
    assert caught(stale, (7.9, turn(1, 7.8, UNKNOWN))) == 0  # it was wrong before, and nothing has changed


def test_names_where_nobody_speaks_are_counted_by_the_hour() -> None:
    hour = 3600 * S
    turns = [turn(10, 12, "Bo"), turn(50, 53, UNKNOWN)]
    shown = [(11 * S, turn(10, 11, "Bo", final=False)), (60 * S, turn(59, 60, "Ann Lee", final=False)), (70 * S, None)]
    quiet = measure([], Heard(turns, shown), PEOPLE, hour // 2)
    found = summarise("g", "s", [quiet])
    assert (found.false_names_per_hour, found.false_guesses_per_hour, found.false_alarm_per_hour_s) == (2, 4, 10)
    assert (found.error_rate, found.precision, found.strangers_named) == (None, None, None)


def test_an_interval_holds_the_rate_and_conversations_add_up() -> None:
    good, bad = measured(PERFECT), measured(PERFECT[:3])
    found = summarise("g", "s", [good, bad, good])
    assert found.error_rate == pytest.approx((bad.confusion + bad.missed) / (3 * bad.total))
    assert found.error_low is not None
    assert found.error_high is not None
    assert found.error_low < found.error_rate < found.error_high
    assert found == summarise("g", "s", [good, bad, good])
    assert found.conversations == 3
    assert found.hours == pytest.approx(0.05)


def peer_talk(strength: float = 0.9) -> PeerTalk:
    """Every window of the reference is as like its speaker as can be, by its middle; strangers are like nobody."""
    ends = range(WINDOW, LENGTH + 1, STEP)
    cosines = np.full((len(ends), 2), 0.3)
    for i, end in enumerate(ends):
        for t in REFERENCE:
            if t.start <= end - WINDOW // 2 < t.end and t.name in ("Ann_Lee", "Bo"):
                cosines[i, ("Ann_Lee", "Bo").index(t.name)] = strength
    return PeerTalk("g", REFERENCE, PEOPLE, LENGTH, cosines)


def test_the_peers_best_threshold_is_between_those_it_knows_and_strangers() -> None:
    talk = peer_talk()
    threshold = best_threshold([talk])
    assert 0.3 < threshold <= 0.9
    heard = told(talk, threshold)
    found = summarise("g", "peer", [measure(REFERENCE, heard, PEOPLE, LENGTH)])
    assert found.error_rate == 0.0
    assert (found.missed, found.false_alarm) == (0.0, 0.0)  # the reference tells it where speech is
    everybody = measure(REFERENCE, told(talk, 2.0), PEOPLE, LENGTH)
    assert everybody.missed == 0.0
    assert everybody.confusion > 10
    # A window is told at its end, 0.8 s after its middle.
    assert found.first_p50_s is not None
    assert 0.5 <= found.first_p50_s <= 1.5
    assert best_threshold([]) == 1.0


def test_the_peers_turns_do_not_overlap_and_stay_within_speech() -> None:
    reference = [turn(1, 11, "Ann_Lee"), turn(9, 15, "Bo")]
    rng = np.random.default_rng(0)
    talk = PeerTalk("g", reference, PEOPLE, 20 * S, rng.uniform(size=(len(range(WINDOW, 20 * S + 1, STEP)), 2)))
    turns = told(talk, 0.5).turns
    assert turns[0].start == 1 * S
    assert turns[-1].end == 15 * S
    assert all(one.end == two.start for one, two in pairwise(turns))
