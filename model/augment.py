"""What happens to a voice on its way to a microphone: distance, noise, rooms, lines.

Every function takes its randomness as a `numpy.random.Generator`; the same generator gives the same sound.
Samples are (n,) float32 mono at 16 kHz.
"""

import io
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, oaconvolve, sosfilt  # type: ignore[import-untyped] # ships no types

from stream.clock import SAMPLE_RATE
from stream.errors import UsageError
from stream.text import one_line

__all__ = [
    "add_noise",
    "augment",
    "band_limit",
    "change_speed",
    "codec",
    "simulate_room",
    "simulate_rooms",
    "telephone",
]

Samples = NDArray[np.float32]


def change_speed(samples: Samples, speed: float) -> Samples:
    """Played `speed` times as fast: pitch and formants move too, which makes another speaker."""
    if speed == 1.0:
        return samples
    faster: Samples = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE).astype(np.float32)
    return faster


def simulate_rooms(n: int, rng: np.random.Generator) -> list[Samples]:
    """Impulse responses of `n` random shoebox rooms by the image method (Allen and Berkley, 1979).

    The direct sound comes first, at amplitude 1, so that convolving keeps level and timing.

    Raises:
        UsageError: pyroomacoustics, which only pretraining needs, is not installed.
    """
    responses: list[Samples] = []
    while len(responses) < n:
        responses += simulate_room(1, rng)
    return responses


def simulate_room(places: int, rng: np.random.Generator) -> list[Samples]:
    """Impulse responses from several places in one random room to one microphone, each as `simulate_rooms` gives them.

    Raises:
        UsageError: pyroomacoustics is not installed.
    """
    try:
        import pyroomacoustics as pra
    except ImportError as error:
        raise UsageError(
            f"expected pyroomacoustics for simulated rooms, got: {one_line(error)}; install pyroomacoustics"
        ) from error
    size = rng.uniform([2.5, 2.5, 2.2], [9.0, 7.0, 3.5])
    seconds = rng.uniform(0.15, 0.7)
    absorption, order = pra.inverse_sabine(seconds, size)
    room = pra.ShoeBox(size, fs=SAMPLE_RATE, materials=pra.Material(absorption), max_order=min(order, 12))
    inner = size - 0.6
    for _ in range(places):
        room.add_source(rng.uniform(0.3, 1.0, 3) * inner)
    room.add_microphone(rng.uniform(0.3, 1.0, 3) * inner)
    room.compute_rir()
    responses: list[Samples] = []
    for place in range(places):
        response = np.asarray(room.rir[0][place], np.float32)
        direct = int(np.argmax(np.abs(response)))
        response = response[direct : direct + int(0.8 * SAMPLE_RATE)] / response[direct]
        responses.append(response.astype(np.float32))
    return responses


def add_noise(samples: Samples, noise: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    """`noise`, looped from a random point, under `samples` at `snr_db` of mean power."""
    start = int(rng.integers(len(noise)))
    noise = np.resize(np.roll(noise, -start), len(samples))
    power, noise_power = float(np.mean(samples**2)), float(np.mean(noise**2))
    if noise_power == 0.0:
        return samples
    return samples + noise * np.float32(np.sqrt(power / noise_power * 10 ** (-snr_db / 10)))


def band_limit(samples: Samples, low_hz: float, high_hz: float) -> Samples:
    """A line or a small loudspeaker: only `low_hz` to `high_hz` come through."""
    sos = butter(4, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE, output="sos")
    limited: Samples = sosfilt(sos, samples).astype(np.float32)
    return limited


def codec(samples: Samples, level: float) -> Samples:
    """Through MP3 and back; `level` in [0, 1) is the encoder's, higher for worse quality."""
    return np.resize(_there_and_back(samples, SAMPLE_RATE, format="MP3", compression_level=level), len(samples))


def _there_and_back(samples: Samples, rate: int, **how: Any) -> Samples:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **how)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.asarray(decoded, np.float32)


def telephone(samples: Samples, subtype: str) -> Samples:
    """Over a telephone line: 300 to 3,400 Hz, 8,000 samples a second, in `subtype` "ULAW" or "GSM610" and back."""
    narrow = soxr.resample(band_limit(samples, 300.0, 3_400.0), SAMPLE_RATE, 8_000)
    return np.resize(
        soxr.resample(_there_and_back(narrow, 8_000, format="WAV", subtype=subtype), 8_000, SAMPLE_RATE), len(samples)
    )


def augment(
    samples: Samples, noises: list[Samples], voices: list[Samples], rooms: list[Samples], rng: np.random.Generator
) -> Samples:
    """One random way from a mouth to a file: room, noise or babble, a band or a codec or a telephone, clipping."""
    n = len(samples)
    if rooms and rng.random() < 0.5:
        samples = oaconvolve(samples, rooms[rng.integers(len(rooms))])[:n].astype(np.float32)
    kind = rng.random()
    if noises and kind < 0.4:
        samples = add_noise(samples, noises[rng.integers(len(noises))], rng.uniform(0, 20), rng)
    elif voices and kind < 0.6:
        babble = sum(np.resize(voices[i], 10 * SAMPLE_RATE) for i in rng.integers(len(voices), size=4))
        samples = add_noise(samples, np.asarray(babble, np.float32), rng.uniform(8, 20), rng)
    elif kind < 0.8:
        hiss = rng.standard_normal(n).astype(np.float32)
        samples = add_noise(samples, hiss, rng.uniform(10, 35), rng)
    line = rng.random()
    if line < 0.15:
        samples = band_limit(samples, rng.uniform(50, 350), rng.uniform(3_000, 7_500))
    elif line < 0.35:
        samples = codec(samples, rng.uniform(0.5, 0.95))
    elif line < 0.5:
        samples = telephone(samples, "GSM610" if rng.random() < 0.5 else "ULAW")
    if rng.random() < 0.1:
        peak = float(np.max(np.abs(samples))) or 1.0
        samples = np.clip(samples, -0.4 * peak, 0.4 * peak)
    return samples
