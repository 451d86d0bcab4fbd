"""A name stands only where the whole turn speaks for it: laws, on the voices of the demo."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from model.confirm import Confirm, ConfirmConfig
from model.divide import divide
from model.encoder import HopSums, Pooling
from model.guests import Guests
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import UsageError
from stream.records import UNKNOWN, Block, Embedding, Turn
from tests.talk import conversation, encoder, final, reading, recognize, stages, voices, weights

SALLY, ROB, LATER = (0.9, 5.2), (6.0, 10.2), (17.8, 22.0)  # seconds; the last is Rob again


def hops(*spans: tuple[float, float]) -> list[HopSums]:
    """What is said in these spans of the conversation, one after the other."""
    sound = np.concatenate([conversation(*span) for span in spans])
    return encoder().hops(sound, sample_rate=SAMPLE_RATE)


def heard(stage: Confirm, said: list[HopSums], name: str, *, settled_after: int = 4) -> list[Turn]:
    """What the stage shows, hop by hop, of a turn that the decisions give a name; last the final turns."""
    shown = []
    for n, hop in enumerate(said, 1):
        current = Turn(said[0].start, hop.start + HOP_SAMPLES, name, 0.8, final=n >= settled_after)
        stage.push(Embedding(hop.start, np.zeros((4, 1)), np.zeros(4), hop.speech, sums=hop.sums), [], current)
        assert stage.current is not None
        shown.append(stage.current)
    whole = Turn(said[0].start, said[-1].start + HOP_SAMPLES, name, 0.8, final=True)
    return [*shown, *stage.flush([whole])]


def test_the_right_name_is_settled_and_stands() -> None:
    *shown, turn = heard(Confirm(voices(), weights()), hops(SALLY), "Sally")
    settled = [each.final for each in shown]
    assert settled.index(True) < 15
    assert all(settled[settled.index(True) :])
    assert {each.name for each in shown[4:]} == {"Sally"}  # the decisions give a name from 0.4 s on
    assert (turn.name, turn.final) == ("Sally", True)
    assert turn.probability > 0.9


def test_the_name_of_another_is_a_guess_then_doubted_and_never_final() -> None:
    without = [voice for voice in voices() if voice.name != "Rob"]
    *shown, turn = heard(Confirm(without, weights()), hops(ROB), "Angus")
    assert not any(each.final and each.name == "Angus" for each in shown)
    assert shown[-1].name == UNKNOWN
    assert (turn.name, turn.final) == (UNKNOWN, True)


def test_a_guess_that_the_turn_speaks_against_is_not_shown() -> None:
    *shown, _ = heard(Confirm(voices(), weights()), hops(ROB), "Angus", settled_after=99)
    assert {each.name for each in shown[4:]} == {UNKNOWN}
    assert not any(each.final for each in shown)


def test_what_was_settled_stays_whatever_comes_later() -> None:
    *shown, first, second = heard(Confirm(voices(), weights()), hops(SALLY, LATER), "Sally")
    assert any(each.final for each in shown)
    assert (first.name, second.name) == ("Sally", "Rob")  # a turn of two voices is two turns
    assert first.end == second.start or first.end < second.start
    assert (first.start, second.end) == (shown[0].start, shown[-1].end)
    assert abs(first.end - (SALLY[1] - SALLY[0]) * SAMPLE_RATE) < 0.5 * SAMPLE_RATE


def pieces(name: str) -> list[list[HopSums]]:
    """What somebody reads, in pieces of 0.6 s of speech."""
    spoken = [hop for hop in encoder().hops(reading(name), sample_rate=SAMPLE_RATE) if hop.speech >= 0.5]
    return [spoken[at : at + 6] for at in range(0, len(spoken) - 5, 2)]


def test_a_short_word_of_a_stranger_who_was_heard_before_gets_no_name_and_who_is_enrolled_keeps_it() -> None:
    people, guests = [voice for voice in voices() if voice.name != "Rob"], Guests(weights())

    def named(some: list[list[HopSums]], known: Guests | None) -> list[str]:
        return [
            heard(Confirm(people, weights(), guests=known), piece, "Angus", settled_after=99)[-1].name for piece in some
        ]

    rob, angus = pieces("Rob"), pieces("Angus")
    first, later = rob[: len(rob) // 2 : 3], rob[len(rob) // 2 :]
    assert named(later, guests) == named(later, None)  # nobody has been heard so far
    assert set(named(later, None)) == {"Angus", UNKNOWN}
    spoken = [hop for piece in first for hop in piece]
    guests.hear([Embedding(hop.start, np.empty(0), np.empty(0), hop.speech, sums=hop.sums) for hop in spoken])
    assert set(named(later, guests)) == {UNKNOWN}
    assert named(angus, guests) == named(angus, None)


def test_an_unknown_turn_stays_unknown() -> None:
    shown = heard(Confirm(voices(), weights()), hops(SALLY), UNKNOWN)
    assert {each.name for each in shown} == {UNKNOWN}
    assert shown[-1] == replace(shown[-1], probability=0.8, final=True)


def test_one_voice_is_not_divided_and_two_are() -> None:
    def parts(*spans: tuple[float, float]) -> list[slice]:
        spoken = [hop.sums for hop in hops(*spans) if hop.speech >= 0.5]
        return divide(np.stack(spoken), Pooling(weights()), weights())

    assert len(parts(SALLY)) == len(parts(ROB, LATER)) == 1
    found = parts(SALLY, ROB)
    assert len(found) == 2
    assert [part.start for part in found[1:]] == [part.stop for part in found[:-1]]


def test_a_stranger_of_the_whole_path_gets_no_name() -> None:
    known = [voice for voice in voices() if voice.name != "Rob"]
    turns = final(recognize([Block(0, conversation(0, 23))], made_of=stages(known)))
    rob = [turn for turn in turns if any(abs(turn.start / SAMPLE_RATE - start) < 0.5 for start in (5.9, 17.7))]
    assert [turn.name for turn in rob] == [UNKNOWN, UNKNOWN]
    assert {turn.name for turn in turns} == {"Sally", "Angus", UNKNOWN}
    assert all(one.end <= following.start for one, following in pairwise(turns))


def test_with_nobody_enrolled_and_in_silence_nothing_is_said() -> None:
    stage = Confirm([], weights())
    silence = Embedding(0, np.zeros((4, 1)), np.zeros(4), 0.0, sums=np.zeros(Pooling(weights()).n_sums))
    assert stage.push(silence, [], None) == stage.flush([]) == []
    assert stage.current is None


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="ascend from doubt to name to settle"):
        ConfirmConfig(name=0.95)
