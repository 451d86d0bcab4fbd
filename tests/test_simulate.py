"""Conversations that are made: what the reference says is in the sound, and nothing else is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import correlate

from model.corpus import Clip, read_audio
from model.simulate import Conversation, SimulationConfig, simulate, speakers_of, speech_free
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, UsageError
from tests.speakers import write_speakers

CONFIG = SimulationConfig(people=2, strangers=1, seconds=40.0, enrol_seconds=6.0, rooms=False)


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Clip]]:
    return write_speakers(tmp_path_factory.mktemp("corpus"), "abcd")


def made(speakers: dict[str, list[Clip]], number: int = 0, config: SimulationConfig = CONFIG) -> Conversation:
    return simulate("hiss", speakers, number, config)


def spoken(talk: Conversation, margin: int = 0) -> np.ndarray:
    """(n,) where somebody speaks by the reference."""
    mask = np.zeros(len(talk.samples), bool)
    for turn in talk.turns:
        mask[max(0, turn.start - margin) : turn.end + margin] = True
    return mask


def level_db(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64))))


def test_the_same_seed_is_the_same_sound_and_another_is_not(speakers: dict[str, list[Clip]]) -> None:
    one, two = made(speakers), made(speakers)
    np.testing.assert_array_equal(one.samples, two.samples)
    assert one.turns == two.turns
    assert list(one.enrol) == list(two.enrol)
    for other in (made(speakers, 1), made(speakers, 0, replace(CONFIG, seed=1)), simulate("x", speakers, 0, CONFIG)):
        assert other.turns != one.turns


@pytest.mark.parametrize("number", range(0, 16, 4))
def test_the_reference_is_where_the_sound_is(speakers: dict[str, list[Clip]], number: int) -> None:
    talk = made(speakers, number)
    assert len(talk.turns) >= 5
    assert not spoken(talk)[: SAMPLE_RATE // 2].any()
    assert talk.turns == sorted(talk.turns, key=lambda turn: (turn.start, turn.end))
    quiet = np.abs(talk.samples[~spoken(talk, 160)])
    assert quiet.max() < 1e-3  # hiss
    for turn in talk.turns:
        sound = np.abs(talk.samples[turn.start : turn.end])
        edge = SAMPLE_RATE // 10
        assert sound[:edge].max() > 0.005
        assert sound[-edge:].max() > 0.005
        assert 0.5 * SAMPLE_RATE < turn.end - turn.start < 8.6 * SAMPLE_RATE


def test_the_people_are_those_who_are_enrolled_and_strangers_are_others(speakers: dict[str, list[Clip]]) -> None:
    talk = made(speakers)
    assert len(talk.enrol) == 2
    assert len({turn.name for turn in talk.turns} - set(talk.enrol)) == 1
    assert {turn.name for turn in talk.turns} < {*"abcd"}
    for clips in talk.enrol.values():
        assert sum(map(len, clips)) >= 6 * SAMPLE_RATE


def test_nobody_is_enrolled_from_what_is_said(speakers: dict[str, list[Clip]]) -> None:
    talk = made(speakers)

    def is_in(clip: np.ndarray) -> float:
        piece = clip[8_000:16_000]
        found = correlate(talk.samples, piece, mode="valid", method="fft")
        return float(np.abs(found).max() / np.linalg.norm(piece))

    enrolled = [clip for clips in talk.enrol.values() for clip in clips]
    said = [read_audio(clip.path) for name in talk.enrol for clip in speakers[name]]
    loudest = max(map(is_in, said))
    assert all(is_in(clip) < 0.1 * loudest for clip in enrolled)
    assert sum(is_in(clip) > 0.3 * loudest for clip in said) >= 4


def test_sessions_that_are_enrolled_from_are_not_heard(speakers: dict[str, list[Clip]]) -> None:
    in_sessions = {
        name: [Clip(clip.path, clip.corpus, name, "dev", f"{name}-{i // 3}") for i, clip in enumerate(clips)]
        for name, clips in speakers.items()
    }
    talk = made(in_sessions)
    for name, clips in talk.enrol.items():
        files = [next(c for c in in_sessions[name] if np.array_equal(read_audio(c.path), clip)) for clip in clips]
        assert len({file.session for file in files}) == 1
    with pytest.raises(FileError, match="expected 3 speakers in hiss"):
        made(in_sessions, 0, replace(CONFIG, enrol_seconds=18.0))  # more than a session holds


def test_people_are_as_unlike_in_level_as_they_may_be(speakers: dict[str, list[Clip]]) -> None:
    for number, most in ((0, 10.0), (1, 10.0), (0, 0.0)):
        talk = made(speakers, number, replace(CONFIG, level_db=most, overlap=0.0))
        # Words of hiss are all alike, so the loudest tenth of a second is the speaker's level.
        levels: dict[str, float] = {}
        for turn in talk.turns:
            pieces = talk.samples[turn.start : turn.end]
            loudest = max(level_db(pieces[at : at + 1_600]) for at in range(0, len(pieces) - 1_599, 1_600))
            levels[turn.name] = max(loudest, levels.get(turn.name, -99.0))
        assert max(levels.values()) - min(levels.values()) < most + 1.0


def test_noise_is_as_far_below_speech_as_was_asked_for(speakers: dict[str, list[Clip]]) -> None:
    hiss = np.random.default_rng(0).normal(0, 0.3, 3 * SAMPLE_RATE).astype(np.float32)
    for snr_db in (5.0, 15.0):
        talk = simulate("hiss", speakers, 2, replace(CONFIG, snr_db=snr_db, level_db=0.0, overlap=0.0), [hiss])
        noise = np.mean(talk.samples[~spoken(talk, 800)] ** 2)
        speech = np.mean(talk.samples[spoken(talk)] ** 2) - noise
        assert 10 * np.log10(speech / noise) == pytest.approx(snr_db, abs=1.5)


def test_where_nobody_speaks_there_is_sound_and_no_reference(speakers: dict[str, list[Clip]]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, SAMPLE_RATE).astype(np.float32)
    one, two = (speech_free("hiss", speakers, 0, replace(CONFIG, seconds=20.0), [noise]) for _ in range(2))
    np.testing.assert_array_equal(one.samples, two.samples)
    assert one.turns == []
    assert len(one.enrol) == 2
    assert len(one.samples) == 20 * SAMPLE_RATE
    assert level_db(one.samples) > -46


def test_a_room_adds_what_comes_back_from_its_walls(speakers: dict[str, list[Clip]]) -> None:
    pytest.importorskip("pyroomacoustics")
    config = replace(CONFIG, rooms=True)
    talk = made(speakers, 4, config)
    after = np.zeros(len(talk.samples), bool)
    for turn in talk.turns:
        after[turn.end : turn.end + 1_600] = True
    assert level_db(talk.samples[after & ~spoken(talk)]) > -70
    assert np.isfinite(talk.samples).all()


def test_too_little_speech_is_said() -> None:
    with pytest.raises(FileError, match="expected 3 speakers in hiss with 6 s of speech to enrol from"):
        simulate("hiss", {}, 0, CONFIG)


@pytest.mark.parametrize(
    "wrong", [{"people": 0}, {"people": 1, "strangers": 0}, {"overlap": 1.5}, {"turn_seconds": (3.0, 2.0)}]
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected"):
        replace(CONFIG, **wrong)  # type: ignore[arg-type]


def test_corpora_are_kept_apart_and_clips_of_nobody_left_out() -> None:
    clips = [Clip(Path(f"{corpus}{name}"), corpus, name, "dev") for corpus in "xy" for name in ("a", "b", "")]
    found = speakers_of(clips)
    assert {corpus: sorted(speakers) for corpus, speakers in found.items()} == {"x": ["a", "b"], "y": ["a", "b"]}
