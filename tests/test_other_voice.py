"""Another voice in an enrolment: found, left out, told; one voice alone is left whole."""

import functools
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from model.coach import snr_db
from model.enrol import Enrolment, Progress, References
from model.other_voice import PIECE_HOPS, OtherVoice
from model.scoring import mean_vector
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import EnrolmentError
from stream.records import Block
from tests.people import refused
from tests.talk import NAMES, blocks, encoder, reading, voices, weights

PAIRS = [("Rob", "Sally"), ("Sally", "Angus"), ("Angus", "Sally")]


def said(name: str, from_s: float, to_s: float) -> np.ndarray:
    return reading(name)[round(from_s * SAMPLE_RATE) : round(to_s * SAMPLE_RATE)]


def hear(samples: np.ndarray) -> tuple[Enrolment, list[Progress]]:
    enrolment = Enrolment(encoder())
    return enrolment, list(enrolment.listen(blocks(samples, 1_600), SAMPLE_RATE))


@functools.cache
def interrupted(name: str, by: str) -> tuple[References, list[Progress], np.ndarray]:
    """Somebody reads; another one breaks in after 8 s, for 3 s."""
    samples = np.concatenate([said(name, 0, 8), said(by, 4, 7), said(name, 8, 17)])
    enrolment, progress = hear(samples)
    return enrolment.finish(), progress, samples


def cosine_to(name: str, found: References) -> float:
    voice = voices()[NAMES.index(name)]
    return float(mean_vector(found.vectors, found.speech_s) @ mean_vector(voice.vectors, voice.speech_s))


@pytest.mark.parametrize(("name", "by"), PAIRS)
def test_who_breaks_in_is_left_out(name: str, by: str) -> None:
    found, _, samples = interrupted(name, by)
    assert 1.5 < found.progress.other_s < 4.5
    assert found.speech_s.sum() == pytest.approx(found.progress.speech_s, abs=0.05)
    # Of the sound that is kept, next to nothing is the other's.
    hops = {samples[i : i + HOP_SAMPLES].tobytes(): i for i in range(0, len(samples) - HOP_SAMPLES + 1, HOP_SAMPLES)}
    kept = [hops[a[i : i + HOP_SAMPLES].tobytes()] for a in found.audio for i in range(0, len(a), HOP_SAMPLES)]
    assert kept == sorted(set(kept))
    assert sum(8 * SAMPLE_RATE <= place < 11 * SAMPLE_RATE for place in kept) <= 10
    assert cosine_to(name, found) > 0.97
    assert found.progress.verdict == "good"


@pytest.mark.parametrize(("name", "by"), PAIRS)
def test_who_breaks_in_is_told_while_it_lasts(name: str, by: str) -> None:
    _, progress, _ = interrupted(name, by)
    told = [each.heard_s for each in progress if "another voice" in each.advice]
    assert 8 < min(told) < 11.5
    assert max(told) < 13.5
    # What the other one says does not count as progress.
    before = next(each for each in progress if each.heard_s >= 8)
    during = next(each for each in progress if each.heard_s >= 11)
    assert during.speech_s - before.speech_s < 1.5


@pytest.mark.parametrize("name", NAMES)
def test_one_voice_alone_is_left_whole(name: str) -> None:
    enrolment, progress = hear(reading(name))
    found = enrolment.finish()
    assert not any(each.other_s or each.other_now for each in progress)
    assert found.progress.other_s == 0
    assert found.progress.verdict == "good"
    assert found.progress.advice == ""
    assert all(one.percent <= other.percent for one, other in pairwise(progress))


def test_who_says_most_is_the_person_even_when_somebody_else_begins() -> None:
    enrolment, _ = hear(np.concatenate([said("Angus", 4, 8), said("Sally", 0, 14)]))
    found = enrolment.finish()
    assert 2 < found.progress.other_s < 5.5
    assert cosine_to("Sally", found) > 0.95


def test_two_voices_of_one_length_are_refused() -> None:
    enrolment, _ = hear(np.concatenate([said("Rob", 0, 9), said("Sally", 0, 9)]))
    with pytest.raises(EnrolmentError) as error:
        enrolment.finish()
    refused(error, "expected one voice", "of another", "nothing is kept", "record one person alone")


def test_two_voices_too_short_to_be_told_apart_hang_together_badly() -> None:
    enrolment, _ = hear(np.concatenate([said("Angus", 0, 3.1), said("Sally", 0, 2.7)]))
    assert enrolment.finish().progress.verdict == "mixed"


@pytest.mark.parametrize("size", [997, 10**6])
def test_the_size_of_the_pieces_changes_nothing(size: int) -> None:
    expected, _, samples = interrupted(*PAIRS[0])
    enrolment = Enrolment(encoder())
    for _ in enrolment.listen(blocks(samples, size), SAMPLE_RATE):
        pass
    got = enrolment.finish()
    np.testing.assert_array_equal(got.vectors, expected.vectors)
    assert got.progress.heard_s == pytest.approx(expected.progress.heard_s)
    assert replace(got.progress, heard_s=0) == replace(expected.progress, heard_s=0)


def test_every_hop_has_a_place_in_the_mask() -> None:
    other = OtherVoice(weights())
    hops = [hop for hop in encoder().hops(said("Rob", 0, 6), sample_rate=SAMPLE_RATE) if hop.speech >= 0.5]
    for n, hop in enumerate(hops, start=1):
        assert other.push(hop) == (n % PIECE_HOPS == 0)
        assert other.mask.shape == (n,)
    assert not other.mask.any()


# -- noise -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted_db", [30, 20, 10, 5])
@pytest.mark.parametrize("name", NAMES)
def test_the_noise_is_measured(name: str, wanted_db: float) -> None:
    samples = reading(name)
    rng = np.random.default_rng(7)
    power = np.mean(np.square(samples, dtype=np.float64))
    noisy = samples + rng.normal(0, np.sqrt(power / 10 ** (wanted_db / 10)), len(samples)).astype(np.float32)
    progress = hear(noisy)[1][-1]
    assert progress.snr_db == pytest.approx(wanted_db, abs=1.5)
    assert ("noisy" in progress.advice) == (wanted_db < 15)


def test_noise_is_not_told_before_there_is_enough_of_both() -> None:
    assert math.isnan(snr_db([1.0] * 9, [0.1] * 50))
    assert math.isnan(snr_db([1.0] * 50, [0.1] * 4))
    assert snr_db([1.0] * 50, [0.0] * 50) == math.inf
    assert snr_db([0.1] * 50, [0.2] * 50) == -math.inf
    _, progress = hear(np.concatenate([np.zeros(SAMPLE_RATE, np.float32), said("Rob", 0, 4)]))
    assert math.isnan(progress[5].snr_db)
    assert not math.isnan(progress[-1].snr_db)


def test_blocks_without_speech_change_nothing_but_the_time() -> None:
    enrolment, _ = hear(said("Rob", 0, 10))
    before = enrolment.progress
    silence = Block(0, np.zeros(SAMPLE_RATE, np.float32))
    after = list(enrolment.listen([silence], SAMPLE_RATE))[-1]
    assert (after.speech_s, after.other_s, after.coherence) == (before.speech_s, before.other_s, before.coherence)
    assert after.heard_s == before.heard_s + 1
