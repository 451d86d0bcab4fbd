"""Learning a voice: what adds up, what is refused, and what is kept of it."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soxr

from model.alike import alike, is_unlike
from model.enrol import ENOUGH_SPEECH_S, MIN_SPEECH_S, Enrolment, Progress, References, embed_references
from model.profile import Profile
from model.scoring import centroid
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import EnrolmentError
from stream.records import Block
from tests.people import refused
from tests.talk import NAMES, base, blocks, encoder, reading, voices, weights


def enrol(*recordings: Iterable[Block], rate: int = SAMPLE_RATE) -> tuple[Enrolment, list[Progress]]:
    enrolment = Enrolment(encoder())
    return enrolment, [progress for recording in recordings for progress in enrolment.listen(recording, rate)]


def learned(samples: np.ndarray, size: int = 1_600, rate: int = SAMPLE_RATE) -> References:
    return enrol(blocks(samples, size, rate=rate), rate=rate)[0].finish()


def test_references_hold_about_three_seconds_of_speech_each_and_their_sound() -> None:
    found = learned(reading("Rob"))
    n = len(found.vectors)
    assert found.vectors.shape == (n, encoder().size)
    assert n == len(found.speech_s) == len(found.audio) >= 4
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    assert found.speech_s[:-1].min() > 2.9
    assert found.speech_s.max() < 4.7
    for seconds, audio in zip(found.speech_s, found.audio, strict=True):
        assert audio.dtype == np.float32
        assert seconds <= len(audio) / SAMPLE_RATE <= seconds + 1.5


def test_the_sound_that_is_kept_is_what_was_said_without_its_pauses() -> None:
    said = reading("Sally")
    kept = np.concatenate(learned(said).audio)
    # Every hop of it stands in the recording, to the bit and in order.
    hops = {said[at : at + HOP_SAMPLES].tobytes(): at for at in range(0, len(said) - HOP_SAMPLES + 1, HOP_SAMPLES)}
    places = [hops[kept[at : at + HOP_SAMPLES].tobytes()] for at in range(0, len(kept), HOP_SAMPLES)]
    assert places == sorted(set(places))
    assert len(places) < len(hops)


def test_what_is_kept_gives_the_same_voice_again() -> None:
    found = learned(reading("Angus"))
    for vector, audio in zip(found.vectors, found.audio, strict=True):
        again, seconds = embed_references(encoder(), audio)
        assert again.shape == (1, encoder().size)
        assert seconds[0] > 1
        assert again[0] @ vector > 0.8  # the pauses are gone, so what lies beside them sounds a little different


@pytest.mark.parametrize("samples", [1, 600, HOP_SAMPLES])
def test_what_is_kept_may_be_too_short_to_hold_speech(samples: int) -> None:
    vectors, seconds = embed_references(encoder(), np.zeros(samples, np.float32))
    assert vectors.shape == (1, encoder().size)
    assert seconds[0] < 0.01


@pytest.mark.parametrize("size", [1_599, 997, 10**6])
def test_the_size_of_the_pieces_changes_nothing(size: int) -> None:
    expected, got = learned(reading("Rob")), learned(reading("Rob"), size)
    np.testing.assert_array_equal(got.vectors, expected.vectors)
    np.testing.assert_array_equal(got.speech_s, expected.speech_s)
    for one, other in zip(got.audio, expected.audio, strict=True):
        np.testing.assert_array_equal(one, other)


def test_48_khz_makes_the_same_voice() -> None:
    found = learned(soxr.resample(reading("Rob"), SAMPLE_RATE, 48_000), 4_800, 48_000)
    mean = found.speech_s @ found.vectors
    assert mean / np.linalg.norm(mean) @ centroid(voices()[NAMES.index("Rob")]) > 0.99


# -- adding up -------------------------------------------------------------------------------------------------------


def test_several_recordings_add_up() -> None:
    said = reading("Rob")
    half = len(said) // 2
    whole, _ = enrol(blocks(said, 1_600))
    both, progress = enrol(blocks(said[:half], 1_600), blocks(said[half:], 1_600))
    heard = [each.speech_s for each in progress]
    assert heard == sorted(heard)
    assert both.progress.speech_s == pytest.approx(whole.progress.speech_s, abs=0.5)
    assert both.progress.heard_s == pytest.approx(len(said) / SAMPLE_RATE)


def test_several_calls_add_up(tmp_path: Path) -> None:
    said = reading("Sally")
    half = len(said) // 2
    for part in (said[:half], said[half:]):
        found = learned(part)
        profile = Profile(tmp_path, base())
        profile.add("Sally", found.vectors, found.speech_s, found.audio)
    (voice,) = Profile(tmp_path, base()).voices
    assert voice.has_audio
    assert voice.speech_s.sum() == pytest.approx(learned(said).speech_s.sum(), abs=0.7)
    assert len(voice.vectors) == len(learned(said[:half]).vectors) + len(learned(said[half:]).vectors)
    assert centroid(voice) @ centroid(voices()[NAMES.index("Sally")]) > 0.97


def test_progress_goes_to_100_and_no_further() -> None:
    twice = np.concatenate([reading("Rob"), reading("Rob")])
    enrolment, progress = enrol(blocks(twice, 1_600))
    per_cent = [each.percent for each in progress]
    assert per_cent == sorted(per_cent)
    assert (per_cent[0], per_cent[-1]) == (0, 100)
    first = next(each for each in progress if each.percent == 100)
    assert first.speech_s == pytest.approx(ENOUGH_SPEECH_S, abs=0.2)
    assert enrolment.full
    assert progress[-1].speech_s < 30.2  # more is not listened to
    assert -40 < progress[-1].level_db < -15
    assert progress[-1].advice == ""


# -- gaps ------------------------------------------------------------------------------------------------------------


def test_a_gap_is_not_bridged() -> None:
    said = reading("Rob")
    lost, back = 4 * SAMPLE_RATE + 777, 4 * SAMPLE_RATE + 778  # one sample, and all after it is another hop
    broken, _ = enrol([*blocks(said[:lost], 1_600), *blocks(said[back:], 1_600, back)])
    apart, _ = enrol([Block(0, said[:lost])], [Block(0, said[back:])])
    found, expected = broken.finish(), apart.finish()
    np.testing.assert_array_equal(found.speech_s, expected.speech_s)
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert broken.progress.heard_s == pytest.approx((len(said) - 1) / SAMPLE_RATE)
    # No hop holds sound from both sides: each stands in the recording before the gap or after it.
    sides = [said[:lost], said[back:]]
    hops = {s[at : at + HOP_SAMPLES].tobytes() for s in sides for at in range(0, len(s) - HOP_SAMPLES + 1, HOP_SAMPLES)}
    for audio in found.audio:
        assert all(audio[at : at + HOP_SAMPLES].tobytes() in hops for at in range(0, len(audio), HOP_SAMPLES))


# -- what is refused -------------------------------------------------------------------------------------------------


def test_too_little_speech_is_refused_with_how_much_there_was() -> None:
    for samples, words in (
        (np.zeros(5 * SAMPLE_RATE, np.float32), "heard 0.0 s of it in 5.0 s"),
        (reading("Rob")[: SAMPLE_RATE * 3 // 2], "in 1.5 s of sound"),
    ):
        with pytest.raises(EnrolmentError) as error:
            learned(samples)
        refused(error, f"at least {MIN_SPEECH_S:.0f} s", words, "record a longer sample")


def test_a_clipped_voice_is_refused_and_said_on_the_way() -> None:
    enrolment, progress = enrol(blocks(np.clip(30 * reading("Rob"), -1, 1), 1_600))
    assert "too loud" in progress[-1].advice
    with pytest.raises(EnrolmentError) as error:
        enrolment.finish()
    refused(error, "clipped", "lower the input level")


def test_a_voice_that_could_be_better_gets_advice() -> None:
    _, quiet = enrol(blocks(reading("Rob") / 50, 1_600))
    assert "closer" in quiet[-1].advice
    rng = np.random.default_rng(3)
    _, none = enrol(blocks(rng.normal(0, 0.01, 6 * SAMPLE_RATE).astype(np.float32), 1_600))
    assert "right microphone" in none[-1].advice


# -- who sounds alike ------------------------------------------------------------------------------------------------


def test_the_same_voice_under_another_name_is_noticed() -> None:
    angus, rob, sally = voices()
    found = learned(reading("Rob")[: 9 * SAMPLE_RATE])
    bob = type(rob)("Bob", found.vectors, found.speech_s, rob.added, has_audio=False)
    ((name, cosine),) = alike(bob, [angus, rob, sally, bob], weights())
    assert name == "Rob"
    assert 0.7 < cosine <= 1
    assert alike(sally, [angus, rob, sally], weights()) == []
    assert alike(bob, [bob], weights()) == []


def test_more_speech_is_the_same_persons_or_it_is_not() -> None:
    for voice in voices():
        for name in NAMES:
            found = learned(reading(name)[9 * SAMPLE_RATE :])
            if {name, voice.name} != {"Angus", "Rob"}:  # two synthetic men, who are rather alike
                assert is_unlike(voice, found.vectors, found.speech_s, weights()) == (name != voice.name)
