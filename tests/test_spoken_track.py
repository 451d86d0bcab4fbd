"""Turns cut from what somebody says."""

import numpy as np

from model.spoken_track import SpokenTrack, phrases
from stream.clock import SAMPLE_RATE
from tests.speakers import speech_like

NEAR = 800  # samples: phrases are wider by their edges of 30 ms, and measured in frames of 10 ms


def words(samples: np.ndarray) -> np.ndarray:
    """(n,) where the hiss of `speech_like` is."""
    smooth = np.convolve(np.abs(samples), np.ones(160) / 160, mode="same")
    return smooth > 0.02


def test_phrases_are_where_the_words_are() -> None:
    samples = speech_like(6.5, seed=1)
    found = phrases(samples)
    assert len(found) == 5
    for i, (start, end) in enumerate(found):
        assert abs(start - (4_800 + i * 20_800)) <= NEAR
        assert abs(end - (20_800 + i * 20_800)) <= NEAR


def test_a_short_pause_is_bridged_a_click_is_nothing_and_loudness_does_not_matter() -> None:
    close = speech_like(6.5, seed=2, pause_s=0.1)
    assert len(phrases(close)) == 1
    clicks = np.random.default_rng(3).normal(0, 1e-5, 5 * SAMPLE_RATE).astype(np.float32)
    clicks[40_000:40_800] = 0.1
    assert phrases(clicks) == []
    samples = speech_like(6.5, seed=1)
    assert phrases(samples / 50) == phrases(samples)
    assert phrases(np.zeros(SAMPLE_RATE, np.float32)) == []
    assert phrases(np.zeros(10, np.float32)) == []


def test_turns_take_every_sample_once_and_in_order() -> None:
    track = SpokenTrack()
    for seed in range(3):
        track.add(speech_like(6.5, seed=seed))
    track.add(np.zeros(SAMPLE_RATE, np.float32))  # no speech, and no silence of it either
    whole = track._joined_clips()
    at, taken = 0, 0
    left = track.left
    while (said := track.take(3 * SAMPLE_RATE, SAMPLE_RATE)) is not None:
        assert said.speech[0][0] == 0
        assert said.speech[-1][1] == len(said.samples)  # it begins and ends with speech
        inner = said.samples[200:-200]
        place = next(i for i in range(at, len(whole)) if np.array_equal(whole[i + 200 : i + 200 + len(inner)], inner))
        assert place >= at
        at = place + len(said.samples)
        spoken = sum(b - a for a, b in said.speech)
        assert left - track.left == spoken
        left, taken = track.left, taken + spoken
    assert taken > 12 * SAMPLE_RATE
    assert left < SAMPLE_RATE


def test_a_turn_is_as_long_as_wanted_within_half_a_second() -> None:
    for wanted_s in (1.6, 2.5, 4.0, 5.1):
        track = SpokenTrack()
        track.add(speech_like(13, seed=4))
        said = track.take(round(wanted_s * SAMPLE_RATE), SAMPLE_RATE)
        assert said is not None
        assert abs(len(said.samples) / SAMPLE_RATE - wanted_s) <= 0.5
        inside = np.zeros(len(said.samples), bool)
        for a, b in said.speech:
            inside[a:b] = True
        assert not (words(said.samples) & ~inside)[400:-400].any()


def test_too_little_is_no_turn() -> None:
    track = SpokenTrack()
    assert track.take(SAMPLE_RATE, SAMPLE_RATE) is None
    assert (track.left, track.power) == (0, 0.0)
    track.add(speech_like(2.6, seed=5))
    assert track.take(9 * SAMPLE_RATE, 8 * SAMPLE_RATE) is None
