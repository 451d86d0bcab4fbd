"""Windows of people's kept speech, as a base model of the user's is given them, to learn from and to try.

No sound of strangers travels with the weights, so "nobody of these" is taught, and tried, by stand-ins: the people's
own speech at other speeds, which moves pitch and formants and makes other speakers (Yamamoto et al., 2019).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.augment import augment, change_speed
from model.base import Base
from model.encoder import Encoder, Pooling, add_up
from model.made_noise import KINDS, make_noise
from model.window_head import MIN_ROWS, WINDOW_ROWS, features, window_of
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.mfcc import Mfcc
from stream.records import Block

__all__ = ["Drawn", "Tested", "ask", "cut_windows", "draw_windows", "filter_bank"]

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

COPIES = 3  # of every recording: as it came, and spoilt in other ways
SPEEDS, TESTED_SPEEDS = (0.82, 0.9, 1.1, 1.2), (0.86, 1.15)  # of stand-ins for strangers
WINDOWS = 20  # drawn from every copy, to learn from
TESTED_HOPS = (10, 20)  # lengths of the windows that are tried: 1 and 2 s
BATCH = 256


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """Random windows, to learn from."""

    values: Floats  # (m, size) what the new last layer is given
    labels: Labels  # (m,) whose, n for nobody's
    recording: Labels  # (m,) by number


@dataclass(frozen=True, eq=False, slots=True)
class Tested:
    """Windows to try, side by side, as everybody who judges them needs them."""

    inputs: Floats  # (m, *shape) for the base model
    vectors: Floats  # (m, d) for the cohort
    seconds: Floats  # (m,) of speech
    labels: Labels  # (m,) whose, n for nobody's


def filter_bank() -> Floats:
    """(128, 1025) the mel filter bank of base models."""
    from librosa.filters import mel

    config = features(1)
    bank: Floats = mel(
        sr=SAMPLE_RATE, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.fmin_hz, fmax=config.fmax_hz
    )
    return bank


def ask(base: Base, inputs: Floats) -> Floats:
    """(m, size) what the new last layer is given of (m, *shape) inputs."""
    said = [np.asarray(base.body(inputs[at : at + BATCH], training=False)) for at in range(0, len(inputs), BATCH)]
    return np.concatenate(said).astype(np.float32)


def draw_windows(
    recordings: Sequence[Floats],
    owner: Labels,
    base: Base,
    mel: Floats,
    rng: np.random.Generator,
    on_done: Callable[[int], None] = lambda _: None,
) -> Drawn:
    """Random windows of half a second to two, of every recording, spoilt copies and stand-ins.

    Args:
        recordings: (n,) each, at 16 kHz. What is shorter than half a second gives none.
        owner: whose each is.
        base: the base model.
        mel: its filter bank.
        rng: draws them.
        on_done: called with the number of recordings that are done.
    """
    values, labels, numbers = [np.empty((0, base.size), np.float32)], [], []
    for number, samples in enumerate(recordings):
        windows = []
        for sound, label in _copies(samples, int(owner[number]), int(owner.max()) + 1, SPEEDS, rng):
            rows = _rows(sound, base, mel)
            if len(rows) < MIN_ROWS:
                continue
            for _ in range(WINDOWS):
                n = min(len(rows), int(rng.integers(MIN_ROWS, WINDOW_ROWS + 1)))
                at = int(rng.integers(len(rows) - n + 1))
                windows.append(window_of(rows[at : at + n], base.shape))
                labels.append(label)
                numbers.append(number)
        if windows:
            values.append(ask(base, np.stack(windows)))
        on_done(number + 1)
    return Drawn(np.concatenate(values), np.array(labels, np.int64), np.array(numbers, np.int64))


def cut_windows(
    recordings: Sequence[Floats],
    owner: Labels,
    chosen: Labels,
    base: Base,
    mel: Floats,
    encoder: Encoder,
    rng: np.random.Generator,
) -> Tested:
    """Windows of the chosen recordings, of spoilt copies and stand-ins at other speeds than those to learn from.

    Args:
        recordings: (n,) each, at 16 kHz.
        owner: whose each is.
        chosen: by number.
        base: the base model.
        mel: its filter bank.
        encoder: embeds the same windows.
        rng: spoils them.
    """
    pooling = Pooling(encoder.weights)
    inputs, sums, labels = [np.empty((0, *base.shape), np.float32)], [np.empty((0, pooling.n_sums))], []
    for i in chosen:
        for sound, label in _copies(recordings[i], int(owner[i]), int(owner.max()) + 1, TESTED_SPEEDS, rng):
            hops = encoder.hops(sound, sample_rate=SAMPLE_RATE)
            for n in TESTED_HOPS:
                for at in range(0, max(1, len(hops) - n + 1), n):
                    rows = _rows(sound[at * HOP_SAMPLES : (at + n) * HOP_SAMPLES], base, mel)
                    if len(rows) >= MIN_ROWS:
                        inputs.append(window_of(rows, base.shape)[None])
                        sums.append(add_up(hops[at : at + n])[None])
                        labels.append(label)
    vectors, seconds = pooling.embed(np.concatenate(sums))
    return Tested(np.concatenate(inputs), vectors, seconds, np.array(labels, np.int64))


def _copies(
    samples: Floats, owner: int, nobody: int, speeds: Sequence[float], rng: np.random.Generator
) -> Iterator[tuple[Floats, int]]:
    # A recording as it came, spoilt, and as somebody else might say it; whose each is.
    noises = [make_noise(kind, seed=(int(rng.integers(2**31)),)) for kind in KINDS]
    yield samples, owner
    for _ in range(COPIES - 1):
        yield augment(samples, noises, [], [], rng), owner
    for speed in speeds:
        other = change_speed(samples, speed)
        yield other if rng.random() < 0.5 else augment(other, noises, [], [], rng), nobody


def _rows(samples: Floats, base: Base, mel: Floats) -> Floats:
    (*frames,) = Mfcc(features(base.shape[-1]), mel).push(Block(0, samples))
    return frames[0].mfcc if frames else np.empty((0, base.shape[-1]), np.float32)
