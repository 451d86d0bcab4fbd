"""Turns from scores, driven by scores as a clear and as a doubtful voice give them."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.clock import HOP_SAMPLES
from stream.decide import Decide, DecisionConfig
from stream.errors import UsageError
from stream.records import UNKNOWN, Scores, Turn
from tests.parity import run

NAMES = ("Ann", "Bob", UNKNOWN)


def scores(hop: int, who: str | None, strength: float = 6.0, names: tuple[str, ...] = NAMES) -> Scores:
    """One hop of scores: `who` speaks (None: silence), with so much evidence for and against."""
    llr = np.zeros((4, len(names)), np.float32)
    probabilities = np.full(len(names), 1 / len(names), np.float32)
    if who is not None:
        llr[:, :-1] = -strength
        probabilities[:] = 0.05
        probabilities[names.index(who)] = 1 - 0.05 * (len(names) - 1)
        if who != UNKNOWN:
            llr[:, names.index(who)] = strength
    return Scores(hop * HOP_SAMPLES, names, llr, probabilities, 0.0 if who is None else 1.0)


def talk(*parts: tuple[str | None, int], names: tuple[str, ...] = NAMES) -> list[Scores]:
    """Every window holds the mean of its hops, since the last pause."""
    people = [who for who, hops in parts for _ in range(hops)]
    alone = [scores(i, who, names=names) for i, who in enumerate(people)]
    heard = []
    for i, hop in enumerate(alone):
        pause = next((j for j in range(i, 1, -1) if people[j - 2 : j + 1] == [None] * 3), -1)
        spans = [[one.llr[0] for one in alone[max(pause + 1, i + 1 - n) : i + 1]] for n in (5, 10, 20, 40)]
        llr = np.array([np.mean(span, axis=0) if span else hop.llr[0] for span in spans], np.float32)
        heard.append(replace(hop, llr=llr))
    return heard


def finals(records: list[Turn]) -> list[tuple[str, int, int]]:
    return [(t.name, t.start // HOP_SAMPLES, t.end // HOP_SAMPLES) for t in records if t.final]


def test_two_people_and_a_stranger_take_turns():
    turns = run(Decide(), talk(("Ann", 20), (None, 8), ("Bob", 30), (None, 8), (UNKNOWN, 20), (None, 10)))
    assert finals(turns) == [("Ann", 0, 20), ("Bob", 28, 58), (UNKNOWN, 66, 86)]
    assert all(t.probability == pytest.approx(0.9, abs=1e-6) for t in turns if t.final)


def test_a_change_without_a_pause_is_found():
    (first, second) = finals(run(Decide(), talk(("Ann", 30), ("Bob", 30))))
    assert (first[0], second[0]) == ("Ann", "Bob")
    assert first[2] == second[1]
    assert abs(first[2] - 30) <= 2


def test_silence_names_nobody():
    assert run(Decide(), talk((None, 200))) == []


def test_a_blip_moves_nothing():
    turns = run(Decide(), talk(("Ann", 30), ("Bob", 1), ("Ann", 30)))
    assert finals(turns) == [("Ann", 0, 61)]


def test_speech_too_short_to_be_a_turn_is_dropped():
    assert finals(run(Decide(), talk((None, 10), ("Ann", 2), (None, 20)))) == []


def test_a_short_pause_does_not_end_a_turn():
    assert finals(run(Decide(), talk(("Ann", 20), (None, 4), ("Ann", 20)))) == [("Ann", 0, 44)]


def test_a_tentative_turn_comes_before_its_final_one_and_once():
    turns = run(Decide(), talk(("Ann", 40), (None, 20)))
    assert [t.final for t in turns] == [False, True]
    assert turns[0].name == turns[1].name == "Ann"
    assert (
        turns[0].end - turns[0].start == DecisionConfig().min_speech_hops * HOP_SAMPLES
    )  # as soon as there is enough to be a turn


def test_who_speaks_now_is_a_guess_first_and_settled_after_the_lag():
    decide, settled = Decide(), []
    for record in talk(("Ann", 40)):
        decide.push(record)
        settled.append(decide.current is not None and decide.current.final)
    # Once so much of the turn is decided that it will not be dropped.
    config = decide.config
    assert settled.index(True) == config.lag_hops + config.min_speech_hops - 1
    assert all(settled[settled.index(True) :])


def doubtful_talk(seed: int) -> list[Scores]:
    """Turns of any length, and noise in what is heard of them."""
    rng = np.random.default_rng(seed)
    parts = [(rng.choice(["Ann", "Bob", UNKNOWN, "pause"]), int(rng.integers(2, 25))) for _ in range(40)]
    heard = talk(*((None if who == "pause" else who, n) for who, n in parts))
    noise = np.pad(rng.normal(0, 3, (len(heard), 4, 2)), ((0, 0), (0, 0), (0, 1))).astype(np.float32)
    return [replace(record, llr=record.llr + more) for record, more in zip(heard, noise, strict=True)]


@pytest.mark.parametrize("seed", range(4))
def test_a_settled_name_stays(seed: int):
    decide, settled, last = Decide(), {}, []
    for record in doubtful_talk(seed):
        last += decide.push(record)
        if decide.current is not None and decide.current.final:
            settled.setdefault(decide.current.start, decide.current.name)
    final = {turn.start: turn.name for turn in [*last, *decide.flush()] if turn.final}
    assert len(settled) > 10
    assert settled == {start: final[start] for start in settled}


def test_later_sound_never_changes_a_final_turn():
    records = doubtful_talk(3)
    whole = finals(run(Decide(), records))
    assert len(whole) > 10
    for cut in range(0, len(records), 17):
        decide = Decide()
        so_far = finals([turn for record in records[:cut] for turn in decide.push(record)])
        assert so_far == whole[: len(so_far)]


def test_renaming_two_people_swaps_them():
    parts = [("Ann", 25), ("Bob", 12), (None, 9), (UNKNOWN, 15), ("Bob", 20)]
    other = ("Bob", "Ann", UNKNOWN)
    swapped = {"Ann": "Bob", "Bob": "Ann", UNKNOWN: UNKNOWN, None: None}
    one = finals(run(Decide(), talk(*parts)))
    two = finals(run(Decide(), talk(*((swapped[who], n) for who, n in parts), names=other)))
    assert [(swapped[name], start, end) for name, start, end in one] == two


def test_nobody_enrolled_means_everybody_is_unknown():
    names = (UNKNOWN,)
    assert finals(run(Decide(), talk((UNKNOWN, 20), (None, 10), names=names))) == [(UNKNOWN, 0, 20)]


def test_belief_stays_finite_for_days():
    decide = Decide()
    for record in talk(("Ann", 5_000)):
        decide.push(record)
    assert np.isfinite(decide._belief).all()
    assert len(decide._waiting) <= decide.config.lag_hops


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="between 0 and 1"):
        DecisionConfig(change_speech=0.0)
    with pytest.raises(UsageError, match="at least 1 hop"):
        DecisionConfig(lag_hops=0)


def test_the_cover_is_the_best_of_all() -> None:
    config = DecisionConfig(
        window_hops=(2, 3),
        evidence=(1.0, 0.7),
        change_speech=0.05,
        change_pause=0.2,
        unknown_guess=0.5,
        lag_hops=99,
        min_speech_hops=1,
    )
    prior = np.log([0.25, 0.25, 0.5])
    rng = np.random.default_rng(5)
    for _ in range(20):
        records = [
            Scores(
                hop * HOP_SAMPLES,
                NAMES,
                np.pad(rng.normal(0, 3, (2, 2)), ((0, 0), (0, 1))).astype(np.float32),
                np.full(3, 1 / 3, np.float32),
                float(rng.random() < 0.75),
            )
            for hop in range(8)
        ]
        best = max(covers(records, config), key=lambda cover: value(cover, records, config, prior))
        decide = Decide(config)
        for record in records:
            decide.push(record)
        names = [NAMES[voice] for voice, hops in best for _ in range(hops)]
        assert [hop.scores.names[voice] for hop, voice in decide._path()] == names


def covers(records: list[Scores], config: DecisionConfig) -> Iterator[list[tuple[int, int]]]:
    """Every way to lay windows end to end and give each a voice: (voice, hops) each, in order."""
    lengths: list[set[int]] = []  # of the windows that may end at each hop
    quiet = fresh = 0
    for record in records:
        speaking = record.speech >= config.speech
        quiet = 0 if speaking else quiet + 1
        fresh = 0 if quiet >= config.fresh_hops else fresh + 1
        short, long = config.window_hops
        lengths.append(({min(short, fresh)} | ({long} if long <= fresh else set())) if speaking else {1})

    def laid(end: int) -> Iterator[list[int]]:
        if end == 0:
            yield []
        for hops in lengths[end - 1] if end else ():
            yield from ([*before, hops] for before in laid(end - hops) if hops <= end)

    for cover in laid(len(records)):
        for voices in product(range(len(NAMES)), repeat=len(cover)):
            yield list(zip(voices, cover, strict=True))


def value(
    cover: list[tuple[int, int]], records: list[Scores], config: DecisionConfig, prior: NDArray[np.float64]
) -> float:
    """Its log probability."""
    total, end, last = 0.0, 0, None
    for voice, hops in cover:
        end += hops
        record = records[end - 1]
        speaking = record.speech >= config.speech
        change = config.change_speech if speaking else config.change_pause
        if last is None:
            total += prior[voice] + np.log1p(-change)
        else:
            total += np.log1p(-change) if voice == last else np.log(change) + prior[voice]
        if speaking:
            # The shortest window may be cut to fit; a longer one never is.
            row = 1 if hops == config.window_hops[1] else 0
            total += config.evidence[row] * record.llr[row, voice]
        last = voice
    return total
