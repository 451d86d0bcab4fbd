"""Who is a guest: several turns of one voice, nobody enrolled, and no more of them than fit."""

from dataclasses import replace

import numpy as np
import pytest

from model.guests import GuestConfig, Guests, Named
from stream.clock import HOP_SAMPLES
from stream.errors import UsageError
from stream.records import Block, Embedding
from tests.talk import conversation, encoder, reading, voices, weights

ANGUS, ROB, SALLY = ((5.9 + 4.9, 14.8), (17.7, 24.0), (0.8, 5.3))  # seconds of the conversation
STRANGER = ((28.6, 32.4), (38.5, 42.0), (57.9, 61.5))


def hops(samples: np.ndarray) -> list[Embedding]:
    """Its hops of speech, with their sums."""
    stage, mfcc = encoder().stream(), encoder().mfcc()
    found = [each for rows in mfcc.push(Block(0, samples)) for each in stage.push(rows)] + stage.flush()
    return [each for each in found if each.speech >= 0.5]


def said(span: tuple[float, float]) -> list[Embedding]:
    return hops(conversation(*span))


def made_up(number: int, n: int = 30) -> list[Embedding]:
    """A training speaker's voice: hops whose sums embed to the vector that travels with the weights."""
    vector = weights().strangers()[0][number]
    kernel, bias = weights().dense
    means, deviations = np.split(kernel, 2)
    channels = np.linalg.lstsq(means.T, 10 * vector - deviations.sum(axis=0) - bias, rcond=None)[0]
    sums = 5 * np.concatenate([np.ones(1 + int(weights().network["gates"])), channels, np.square(channels) + 1.0])
    windows = np.zeros((4, len(vector)), np.float32), np.full(4, 1.0, np.float32)
    return [Embedding(i * HOP_SAMPLES, *windows, 1.0, sums=sums) for i in range(n)]


def test_a_voice_is_a_guest_from_its_second_turn_on() -> None:
    guests = Guests(weights())
    first, *others = (guests.hear(said(span)) for span in STRANGER)
    assert first == Named(None, 1.0)
    assert [other.name for other in others] == ["guest-1", "guest-1"]
    assert all(0.8 < other.probability <= 1 for other in others)
    assert guests.names == ("guest-1",)


def test_two_strangers_have_two_numbers_in_the_order_of_their_minting() -> None:
    guests, own = Guests(weights()), {}
    for name in ("Rob", "Sally", "Angus"):
        samples = reading(name)
        for part in np.array_split(samples, 3):
            own.setdefault(name, []).append(guests.hear(hops(part)).name)
    assert own == {name: [None, f"guest-{i}", f"guest-{i}"] for i, name in enumerate(("Rob", "Sally", "Angus"), 1)}
    assert [guests.guess(said(span)).name for span in (ROB, SALLY, ANGUS)] == ["guest-1", "guest-2", "guest-3"]


def test_less_than_two_seconds_teach_nothing() -> None:
    guests = Guests(weights())
    heard = said(STRANGER[0])
    for at in range(0, len(heard) - 18, 6):
        assert guests.hear(heard[at : at + 18]).name is None
    assert guests.hear(said(STRANGER[1])).name is None  # the first turn that counts
    assert guests.hear(said(STRANGER[2])).name == "guest-1"


def test_a_short_word_of_a_guest_has_the_name() -> None:
    guests = Guests(weights())
    for span in STRANGER[:2]:
        guests.hear(said(span))
    assert guests.hear(said(STRANGER[2])[3:15]).name == "guest-1"


def test_who_is_enrolled_never_becomes_a_guest() -> None:
    guests = Guests(weights())
    guests.meet(voices())
    for _ in range(3):
        assert all(guests.hear(said(span)).name is None for span in (ANGUS, ROB, SALLY))
    assert guests.names == ()


def test_who_is_enrolled_later_is_a_guest_no_longer_and_the_number_is_not_used_again() -> None:
    guests = Guests(weights())
    for part in np.array_split(reading("Rob"), 3):
        guests.hear(hops(part))
    assert guests.names == ("guest-1",)
    guests.meet(voices())
    assert guests.names == ()
    for span in STRANGER:
        guests.hear(said(span))
    assert guests.names == ("guest-2",)
    guests.meet(voices())  # nothing new
    assert guests.names == ("guest-2",)


def test_who_may_be_somebody_enrolled_is_remembered_and_gets_no_number() -> None:
    guests, like = Guests(weights(), GuestConfig(known_llr=99.0)), said(STRANGER[0])
    vector, speech_s = guests.embed(said(STRANGER[1]))
    guests.meet([replace(voices()[0], vectors=vector[None], speech_s=np.array([speech_s]))])
    assert [guests.hear(like).name for _ in range(3)] == [None] * 3
    assert len(guests.strangers) == 1
    guests.meet([])
    assert guests.hear(like).name == "guest-1"


def test_strangers_are_another_array_whenever_something_was_learned_and_only_then() -> None:
    guests = Guests(weights())
    before = guests.strangers
    assert before.shape == (0, guests.embed(said(STRANGER[0]))[0].size)
    guests.hear(said(STRANGER[0])[:10])
    guests.guess(said(STRANGER[0]))
    assert guests.strangers is before
    guests.hear(said(STRANGER[0]))
    assert guests.strangers is not before
    assert len(guests.strangers) == 1


def test_a_strangers_ratio_is_the_mean_of_whom_it_may_be_by_their_turns() -> None:
    guests = Guests(weights())
    assert guests.stranger_llr(np.empty(0)) == 0.0  # of a new one nothing is known
    for seed in (0, 1, 1):
        guests.hear(made_up(seed))
    assert np.exp(guests.stranger_llr(np.log([2.0, 4.0]))) == pytest.approx((1 * 1 + 1 * 2 + 2 * 4) / 4)
    assert np.exp(guests.stranger_llr(np.array([-99.0, -99.0]))) == pytest.approx(1 / 4)


def test_a_guess_teaches_nothing() -> None:
    guests = Guests(weights())
    for _ in range(5):
        assert guests.guess(said(STRANGER[0])) == Named(None, 1.0)
    assert guests.names == ()


def test_the_number_of_guests_is_bounded_and_who_comes_after_stays_unknown() -> None:
    config = GuestConfig(most_guests=3, most_waiting=2)
    guests = Guests(weights(), config)
    names = [[guests.hear(made_up(seed)).name for _ in range(3)] for seed in range(8)]
    assert names[:3] == [[None, f"guest-{i}", f"guest-{i}"] for i in (1, 2, 3)]
    assert names[3:] == [[None] * 3] * 5
    assert guests.names == ("guest-1", "guest-2", "guest-3")
    assert len(guests._strangers) == config.most_guests + config.most_waiting
    assert guests.hear(made_up(0)).name == "guest-1"


def test_a_voice_that_was_heard_least_lately_is_forgotten() -> None:
    guests = Guests(weights(), GuestConfig(most_waiting=2))
    for seed in (0, 1, 2):
        guests.hear(made_up(seed))
    assert guests.hear(made_up(2)).name == "guest-1"
    assert guests.hear(made_up(1)).name == "guest-2"
    assert guests.hear(made_up(0)).name is None


def test_what_is_kept_of_a_guest_is_bounded() -> None:
    guests = Guests(weights(), GuestConfig(references=2))
    for span in STRANGER:
        guests.hear(said(span))
    (guest,) = guests._strangers
    assert len(guest.references) == 2
    assert guest.turns == 3


def test_embeddings_without_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="sums"):
        Guests(weights()).hear([replace(hop, sums=None) for hop in said(STRANGER[0])])


@pytest.mark.parametrize("wrong", [{"turns": 0}, {"references": 0}, {"least_s": 0.0}, {"most_guests": 0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="leave them at their defaults"):
        GuestConfig(**wrong)  # type: ignore[arg-type]
