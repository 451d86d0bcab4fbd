"""Sounds that are no voice, made: music, beeps, calls, knocks, hums and winds.

Recordings of noise are few, and what is most easily taken for speech (tones with overtones that glide and
stop) is rare among them. Every sound is mono at 16 kHz, and drawn from a `numpy.random.Generator`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter  # type: ignore[import-untyped] # ships no types

from stream.clock import SAMPLE_RATE

__all__ = ["KINDS", "make_noise", "write_noises"]

Samples = NDArray[np.float64]

SECONDS = 5.0
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), tuple(range(12)))


def write_noises(folder: Path, n: int, *, seed: int) -> list[Path]:
    """`n` sounds of 5 s in FLAC files, kinds by turns; those that are there already are left as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{i:04d}-{KINDS[i % len(KINDS)].__name__}.flac" for i in range(n)]
    for i, file in enumerate(files):
        if not file.exists():
            partial = file.with_suffix(".new")
            soundfile.write(partial, make_noise(KINDS[i % len(KINDS)], seed=(seed, i)), SAMPLE_RATE, format="FLAC")
            partial.replace(file)
    return files


def make_noise(kind: Callable[[np.random.Generator], Samples], *, seed: tuple[int, ...]) -> NDArray[np.float32]:
    """(n,) one sound of a kind, at most 1 loud."""
    sound = kind(np.random.default_rng(seed))
    quiet: NDArray[np.float32] = (0.9 * sound / max(np.abs(sound).max(), 1e-9)).astype(np.float32)
    return quiet


def music(rng: np.random.Generator) -> Samples:
    """One to four instruments on one scale, and perhaps drums."""
    root, scale = rng.uniform(60, 240), SCALES[rng.integers(len(SCALES))]
    sound = np.zeros(round(SECONDS * SAMPLE_RATE))
    for _ in range(rng.integers(1, 5)):
        partials = _partials(rng)
        beat, attack, fade = rng.uniform(0.1, 1.0), rng.uniform(0.003, 0.1), rng.uniform(0.1, 2.0)
        octave, vibrato, level = rng.integers(0, 3), rng.uniform(0, 0.01), rng.uniform(0.2, 1.0)
        at = 0.0
        while at < SECONDS:
            seconds = beat * rng.integers(1, 5)
            if rng.random() < 0.85:
                pitch = root * 2 ** (octave + scale[rng.integers(len(scale))] / 12)
                t = np.arange(round(min(seconds * rng.uniform(0.5, 1.2), SECONDS - at) * SAMPLE_RATE)) / SAMPLE_RATE
                note = _tone(pitch * (1 + vibrato * np.sin(2 * np.pi * 5.5 * t)), partials)
                _add(sound, at, level * note * np.minimum(t / attack, 1) * np.exp(-t / fade))
            at += seconds
    return sound + (drums(rng) * rng.uniform(0.2, 1.0) if rng.random() < 0.5 else 0.0)


def drums(rng: np.random.Generator) -> Samples:
    """Strokes in a rhythm: noise that dies away, or a falling tone."""
    sound, beat = np.zeros(round(SECONDS * SAMPLE_RATE)), rng.uniform(0.1, 0.4)
    strokes = [(rng.random() < 0.6, rng.uniform(0.02, 0.25), rng.uniform(0.1, 0.9)) for _ in range(3)]
    for i in range(int(SECONDS / beat)):
        hiss, fade, often = strokes[rng.integers(len(strokes))]
        if rng.random() < often:
            t = np.arange(round(4 * fade * SAMPLE_RATE)) / SAMPLE_RATE
            stroke = rng.standard_normal(len(t)) if hiss else _tone(60 + 120 * np.exp(-t / 0.03), np.ones(1)) * 3
            _add(sound, i * beat, stroke * np.exp(-t / fade))
    return sound


def beeps(rng: np.random.Generator) -> Samples:
    """A ring, an alarm, a dial: steady or sweeping tones, on and off."""
    sound, partials = np.zeros(round(SECONDS * SAMPLE_RATE)), _partials(rng, most=4)
    on, off, sweep = rng.uniform(0.05, 1.0), rng.uniform(0.03, 1.0), rng.choice([0.0, rng.uniform(-0.6, 0.6)])
    pitches, at = rng.uniform(300, 3_000, rng.integers(1, 4)), 0.0
    while at < SECONDS:
        t = np.arange(round(on * SAMPLE_RATE)) / SAMPLE_RATE
        pitch = pitches[rng.integers(len(pitches))]
        _add(sound, at, _tone(pitch * (1 + sweep * t / on), partials) * np.minimum(1, np.minimum(t, on - t) / 0.005))
        at += on + off
    return sound


def calls(rng: np.random.Generator) -> Samples:
    """What an animal or a hinge may say: short glides with overtones through a resonance, rough or clear."""
    sound, at = np.zeros(round(SECONDS * SAMPLE_RATE)), 0.0
    low, high, rough = rng.uniform(150, 900), rng.uniform(1.2, 4.0), rng.uniform(0, 0.5)
    partials, resonance = _partials(rng), rng.uniform(400, 4_000)
    while at < SECONDS:
        seconds = rng.uniform(0.05, 0.7)
        t = np.linspace(0, 1, round(seconds * SAMPLE_RATE))
        bend = np.interp(t, np.linspace(0, 1, 4), rng.uniform(1, high, 4))
        call = _tone(low * bend, partials) + rough * rng.standard_normal(len(t))
        _add(sound, at, _resonate(call, resonance, rng.uniform(0.8, 0.98)) * np.sin(np.pi * t) ** rng.uniform(0.3, 2))
        at += seconds + rng.exponential(0.4)
    return sound


def knocks(rng: np.random.Generator) -> Samples:
    """Keys, steps, dishes: clicks that ring."""
    clicks = np.zeros(round(SECONDS * SAMPLE_RATE))
    hits = rng.integers(0, len(clicks), rng.integers(3, 60))
    clicks[hits] = rng.uniform(0.2, 1.0, len(hits)) * rng.choice([-1, 1], len(hits))
    ring = sum(_resonate(clicks, rng.uniform(150, 6_000), rng.uniform(0.9, 0.9995)) for _ in range(rng.integers(1, 5)))
    return np.asarray(ring, np.float64)


def hum(rng: np.random.Generator) -> Samples:
    """A motor, a fan, mains: a buzz that hardly changes, with hiss."""
    t = np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    speed = rng.uniform(40, 400) * (1 + rng.uniform(0, 0.3) * np.interp(t, np.linspace(0, SECONDS, 5), rng.random(5)))
    beat = 1 + rng.uniform(0, 0.8) * np.sin(2 * np.pi * rng.uniform(0.5, 12) * t)
    return beat * _tone(speed, _partials(rng, most=30)) + rng.uniform(0, 1) * wind(rng)


def wind(rng: np.random.Generator) -> Samples:
    """Hiss of any colour that swells and falls: wind, water, traffic, rustling."""
    n, points = round(SECONDS * SAMPLE_RATE), rng.integers(2, 60)
    hiss = lfilter([1.0], [1.0, -rng.uniform(-0.5, 0.99)], rng.standard_normal(n))
    if rng.random() < 0.5:
        hiss = _resonate(hiss, rng.uniform(200, 5_000), rng.uniform(0.7, 0.97))
    swell = np.interp(np.arange(n), np.linspace(0, n, points), rng.uniform(0.05, 1.0, points) ** 2)
    sound: Samples = hiss / np.std(hiss) * swell
    return sound


KINDS = (music, beeps, calls, knocks, music, hum, wind, drums)
"""By turns, music twice: it is what sounds most like voices."""


def _partials(rng: np.random.Generator, most: int = 16) -> Samples:
    # Amplitudes of a tone and its overtones; some instruments have every other one only.
    k = np.arange(1, 1 + rng.integers(1, most + 1))
    amplitudes: Samples = k ** -rng.uniform(0.5, 2.0) * rng.uniform(0.2, 1.0, len(k))
    return amplitudes * (k % 2 if rng.random() < 0.2 else 1)


def _tone(hz: Samples, partials: Samples) -> Samples:
    phase = 2 * np.pi * np.cumsum(np.asarray(hz)) / SAMPLE_RATE
    # Nothing above the highest frequency that 16 kHz hold.
    audible = [(k, a) for k, a in enumerate(partials, 1) if k * np.max(hz, initial=0.0) < SAMPLE_RATE / 2]
    tone: Samples = sum((a * np.sin(k * phase) for k, a in audible), np.zeros(len(phase)))
    return tone


def _resonate(sound: Samples, hz: float, sharpness: float) -> Samples:
    # One pair of poles: rings at `hz`, the longer the nearer `sharpness` is to 1.
    turn = 2 * np.pi * hz / SAMPLE_RATE
    ringing: Samples = lfilter([1 - sharpness], [1.0, -2 * sharpness * np.cos(turn), sharpness**2], sound)
    return ringing


def _add(sound: Samples, at: float, part: Samples) -> None:
    first = round(at * SAMPLE_RATE)
    room = sound[first : first + len(part)]
    room += part[: len(room)]
