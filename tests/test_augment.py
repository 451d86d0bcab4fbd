"""What happens to a voice on its way: levels as asked for, timing kept, and the same generator the same sound."""

import sys
from collections.abc import Callable

import numpy as np
import pytest

from model.augment import add_noise, augment, band_limit, change_speed, codec, simulate_rooms, telephone
from stream.clock import SAMPLE_RATE
from stream.errors import UsageError
from tests.sound import one_line


def tone(hz: float, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(SAMPLE_RATE * seconds)) / SAMPLE_RATE)).astype(
        np.float32
    )


def hiss(seed: int, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.1, round(SAMPLE_RATE * seconds)).astype(np.float32)


def loudest_hz(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples))))) * SAMPLE_RATE / len(samples))


def db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_faster_is_shorter_and_higher(speed: float):
    got = change_speed(tone(1_000), speed)
    assert len(got) == pytest.approx(SAMPLE_RATE / speed, abs=1)
    assert loudest_hz(got) == pytest.approx(1_000 * speed, abs=2)
    assert db(got) == pytest.approx(db(tone(1_000)), abs=0.1)


def test_the_speed_of_one_changes_nothing():
    np.testing.assert_array_equal(change_speed(hiss(1), 1.0), hiss(1))


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.0])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_noise_of_any_length_is_as_loud_as_asked_for(snr_db: float, seconds: float):
    voice = tone(300)
    noisy = add_noise(voice, hiss(2, seconds), snr_db, np.random.default_rng(0))
    assert noisy.shape == voice.shape
    assert noisy.dtype == np.float32
    assert db(voice) - db(noisy - voice) == pytest.approx(snr_db, abs=0.1)


def test_digital_silence_is_no_noise():
    np.testing.assert_array_equal(
        add_noise(tone(300), np.zeros(99, np.float32), 0, np.random.default_rng(0)), tone(300)
    )


def test_a_line_passes_its_band_and_nothing_else():
    def through(hz: float) -> float:
        return db(band_limit(tone(hz), 300, 3_400)[4_000:]) - db(tone(hz)[4_000:])

    assert abs(through(1_000)) < 0.5
    assert through(300) == pytest.approx(-3, abs=0.5)
    assert through(100) < -30
    assert through(6_800) < -30


def test_a_codec_changes_the_sound_but_not_when_it_comes():
    voice = band_limit(hiss(3, 2.0), 100, 3_000) * np.repeat(np.random.default_rng(4).uniform(0, 1, 40), 800)
    voice = voice.astype(np.float32)
    got = codec(voice, 0.5)
    assert got.shape == voice.shape
    assert not np.array_equal(got, voice)
    lags = np.correlate(got, voice[3_000:-3_000], "valid")
    assert abs(int(np.argmax(lags)) - 3_000) <= 1
    assert np.corrcoef(got, voice)[0, 1] > 0.9


@pytest.mark.parametrize("subtype", ["ULAW", "GSM610"])
def test_a_telephone_passes_the_voice_band_in_time(subtype: str):
    voice = band_limit(hiss(8, 2.0), 400, 3_000) * np.repeat(np.random.default_rng(9).uniform(0, 1, 40), 800)
    got = telephone(voice.astype(np.float32), subtype)
    assert got.shape == voice.shape
    assert got.dtype == np.float32
    lags = np.correlate(got, voice[3_000:-3_000], "valid")
    assert abs(int(np.argmax(lags)) - 3_000) <= 20  # the phase of its band, a millisecond at most
    spectrum = np.abs(np.fft.rfft(telephone(hiss(10, 2.0), subtype))) ** 2
    hz = np.fft.rfftfreq(2 * SAMPLE_RATE, 1 / SAMPLE_RATE)
    assert spectrum[hz > 4_100].sum() < 1e-3 * spectrum.sum()


def test_rooms_begin_with_the_direct_sound_and_die_away():
    pytest.importorskip("pyroomacoustics")
    rooms = simulate_rooms(3, np.random.default_rng(5))
    for room in rooms:
        assert room.dtype == np.float32
        assert len(room) <= 0.8 * SAMPLE_RATE
        assert room[0] == pytest.approx(1.0)
        assert np.abs(room).max() == pytest.approx(1.0)
        half = len(room) // 2
        assert np.sum(room[half:] ** 2) < 0.1 * np.sum(room[:half] ** 2)
    assert len({len(room) for room in rooms}) > 1
    again = simulate_rooms(3, np.random.default_rng(5))
    for room, same in zip(rooms, again, strict=True):
        np.testing.assert_array_equal(room, same)


def test_rooms_without_what_simulates_them_say_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    assert simulate_rooms(0, np.random.default_rng(0)) == []
    with pytest.raises(UsageError, match="install pyroomacoustics") as error:
        simulate_rooms(1, np.random.default_rng(0))
    one_line(error)


@pytest.mark.parametrize("make", [lambda: tone(200, 1.5), lambda: np.zeros(SAMPLE_RATE, np.float32)])
def test_a_way_to_the_microphone_keeps_length_and_is_its_generator_s(make: Callable[[], np.ndarray]):
    room = np.zeros(800, np.float32)
    room[[0, 300]] = 1.0, 0.5
    others = [hiss(6)], [hiss(7), tone(150, 0.7)], [room]
    ways = set()
    for seed in range(40):
        got = augment(make(), *others, np.random.default_rng(seed))
        assert got.shape == make().shape
        assert got.dtype == np.float32
        assert np.isfinite(got).all()
        np.testing.assert_array_equal(got, augment(make(), *others, np.random.default_rng(seed)))
        ways.add(got.tobytes())
    if make().any():
        assert len(ways) > 30  # a few generators leave the voice as it is


def test_without_noises_voices_and_rooms_it_does_what_it_can():
    for seed in range(20):
        assert augment(tone(200), [], [], [], np.random.default_rng(seed)).shape == (SAMPLE_RATE,)
