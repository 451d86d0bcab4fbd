"""Guests in the whole path: pieces, gaps, later sound and new names change of them what they may."""

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from model.guests import Guests
from model.introduce import Introduce, IntroduceConfig
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import UsageError
from stream.recognizer import Recognizer
from stream.records import UNKNOWN, Block, Gap, Turn
from tests.parity import cuts, split_block
from tests.talk import blocks, conversation, final, order, recognize, stages, voices, weights

FROM_S, TO_S = 28.0, 63.0  # the stranger, Sally, the stranger, Rob, Angus, Sally, Angus, the stranger, Rob


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    return conversation(FROM_S, TO_S)


def hear(sound: list[Block], people: list | None = None) -> list[Turn | Gap]:
    return recognize(sound, made_of=stages(people, guests=Guests(weights())))


def names(events: list[Turn | Gap]) -> list[str]:
    return [turn.name for turn in final(events)]


def test_a_stranger_is_unknown_then_a_guest_and_keeps_the_number(talk: np.ndarray) -> None:
    with_guests, without = final(hear([Block(0, talk)])), final(recognize([Block(0, talk)]))
    renamed = [
        one.name
        for one, other in zip(with_guests, without, strict=True)
        if other.name == UNKNOWN and other.end - other.start > SAMPLE_RATE  # a shorter one is whoever it is like
    ]
    assert renamed == [UNKNOWN, "guest-1", "guest-1"]
    for one, other in zip(with_guests, without, strict=True):  # nothing else is changed
        assert replace(one, name=other.name, probability=other.probability, named_at=other.named_at) == other
        assert other.name != UNKNOWN or one.probability <= other.probability


def test_the_size_of_the_pieces_changes_no_turn_and_no_guess(talk: np.ndarray) -> None:
    first, *others = [hear(list(blocks(talk, size))) for size in (HOP_SAMPLES, 997, 4_001)]
    assert any(not event.final and event.name == "guest-1" for event in first if isinstance(event, Turn))
    for events in others:
        assert events == first
    whole = [(turn.start, turn.end, turn.name) for turn in final(hear([Block(0, talk)]))]
    for sizes in cuts(len(talk), HOP_SAMPLES)[1:]:
        got = final(hear(split_block(Block(0, talk), sizes)))
        assert [(turn.start, turn.end, turn.name) for turn in got] == whole


@pytest.mark.parametrize("cut_s", [5.5, 15.0, 32.0])
def test_later_sound_never_changes_a_final_turn(talk: np.ndarray, cut_s: float) -> None:
    n = round(cut_s * SAMPLE_RATE)
    told = []
    for later in (talk[n:], np.zeros(2 * SAMPLE_RATE, np.float32), conversation(0, 6)):
        recognizer = Recognizer(stages(guests=Guests(weights())), "test", SAMPLE_RATE)
        told.append(final(event for block in blocks(talk[:n], 1_600) for event in recognizer.push(block)))
        late = final(event for block in blocks(later, 1_600, n) for event in recognizer.push(block))
        every = [*told[-1], *late, *final(recognizer.flush())]
        assert all(one.end <= following.start for one, following in pairwise(every))
    assert told[1:] == told[:-1]


def test_renaming_two_people_swaps_them_and_their_order_changes_nothing(talk: np.ndarray) -> None:
    angus, rob, sally = voices()
    before = hear([Block(0, talk)])
    after = hear([Block(0, talk)], [angus, replace(rob, name="Sally"), replace(sally, name="Rob")])
    other = {"Rob": "Sally", "Sally": "Rob"}
    assert [other.get(name, name) for name in names(after)] == names(before)
    assert names(hear([Block(0, talk)], [sally, rob, angus])) == names(before)


def test_a_gap_loses_no_guest(talk: np.ndarray) -> None:
    lost, back = 10 * SAMPLE_RATE, 10 * SAMPLE_RATE + 8_000  # while the stranger speaks for the second time
    events = hear([*blocks(talk[:lost], 997), *blocks(talk[back + 32_000 :], 997, back + 32_000)])
    assert sum(isinstance(event, Gap) for event in events) == 1
    heard = [name for name in names(events) if name == UNKNOWN or name.startswith("guest")]
    assert heard[0] == UNKNOWN
    assert set(heard[1:]) <= {UNKNOWN, "guest-1"}
    assert heard[-1] == "guest-1"
    gap = events.index(next(event for event in events if isinstance(event, Gap)))
    assert all(turn.end <= lost for turn in final(events[:gap]))
    assert all(turn.start >= back + 32_000 for turn in final(events[gap:]))


def test_with_nobody_enrolled_everybody_becomes_a_guest_of_their_own() -> None:
    turns = final(hear([Block(0, conversation())], []))
    said = {"Sally": [0.8, 15.2, 33.1, 50.4, 67.3], "Rob": [6.0, 17.7, 42.5, 62.8], "Angus": [10.8, 46.9, 54.9]}
    own: dict[str, set[str]] = {}
    for name, starts in said.items():
        for turn in turns:
            if any(abs(turn.start / SAMPLE_RATE - start) < 0.5 for start in starts):
                own.setdefault(name, set()).add(turn.name)
    guests = {name: found - {UNKNOWN} for name, found in own.items()}
    assert all(len(found) == 1 for found in guests.values()), own
    assert len(set.union(*guests.values())) == 3
    assert order(turn.name for turn in turns if turn.name != UNKNOWN)


def test_two_strangers_without_a_pause_are_two_turns() -> None:
    pause = np.zeros(2 * SAMPLE_RATE, np.float32)
    turns = [(5.9, 10.3), (0.8, 5.3), (17.7, 22.0), (33.1, 37.6)]  # Rob, Sally, Rob, Sally
    apart = np.concatenate([sound for span in turns for sound in (conversation(*span), pause)])
    joined = np.concatenate([apart, conversation(42.6, 45.6), conversation(67.4, 69.4), pause])
    alone = final(recognize([Block(0, joined)], made_of=stages([])))
    assert alone[-1].end - alone[-1].start > 4 * SAMPLE_RATE  # to the decisions it is one unknown voice
    first, second = final(hear([Block(0, joined)], []))[-2:]
    assert first.name.startswith("guest")
    assert second.name.startswith("guest")
    assert first.name != second.name
    assert first.end == second.start or second.start - first.end < 5_000
    assert abs(second.start - len(apart) - 3 * SAMPLE_RATE) < 0.5 * SAMPLE_RATE
    assert (first.start, second.end) == (alone[-1].start, alone[-1].end)


def test_the_snapshot_knows_the_guest_who_speaks(talk: np.ndarray) -> None:
    recognizer = Recognizer(stages(guests=Guests(weights())), "test", SAMPLE_RATE)
    seen = 0
    for block in blocks(talk, 1_600):
        recognizer.push(block)
        snapshot = recognizer.snapshot
        assert len(snapshot.names) == len(snapshot.probabilities)
        assert snapshot.names[-1] == UNKNOWN
        assert sum(snapshot.probabilities) == pytest.approx(1 if snapshot.speech >= 0.5 else 0, abs=1e-5)
        if snapshot.current and snapshot.current.name == "guest-1":
            seen += 1
            assert not snapshot.current.final  # a guess, until the turn is over
            if snapshot.speech >= 0.5:
                assert snapshot.probabilities[snapshot.names.index(UNKNOWN)] == 0
    assert seen > 20
    recognizer.flush()
    assert recognizer.snapshot.names == ("Angus", "Rob", "Sally", "guest-1", UNKNOWN)
    assert recognizer.snapshot.talk_samples["guest-1"] > 5 * SAMPLE_RATE


def test_memory_does_not_grow_with_the_length_of_the_stream() -> None:
    recognizer = Recognizer(stages([], guests=Guests(weights())), "test", SAMPLE_RATE)
    talk, traced = np.tile(conversation(), 4), list[int]()
    tracemalloc.start()
    for second, block in enumerate(blocks(talk, SAMPLE_RATE)):
        recognizer.push(block)
        if second % 60 == 59:
            traced.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    print(f"traced after each minute: {', '.join(f'{n / 1e6:.1f}' for n in traced)} MB")
    assert max(traced[2:]) < traced[1] + 0.5e6
    assert max(traced) < 12e6


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="leave them at their defaults"):
        IntroduceConfig(guess_hops=400)


def test_silence_has_no_guest() -> None:
    stage = Introduce(Guests(weights()), voices(), weights())
    assert stage.flush([]) == []
    assert stage.current is None
