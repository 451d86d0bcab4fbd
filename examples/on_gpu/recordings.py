"""A corpus decoded on all cores: the clips, what Silero says of them, coded copies; noise; rooms; dev features."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.augment import codec, simulate_rooms, telephone
from model.corpus import Clip, read_audio
from model.feature_store import MIN_SAMPLES, clip_rows, to_target_level, within_silence
from model.made_noise import KINDS, make_noise
from model.silero import speech_of_rows
from model.weights import Weights
from stream.clock import SAMPLE_RATE
from stream.errors import FileError
from stream.mfcc import MfccConfig

FULL_SCALE = 16_384  # what 1.0 is in 16 bits
HOP, FRAME = MfccConfig().hop_length, MfccConfig().n_fft
NOISE_S, MADE_NOISES, ROOMS = 5, 400, 300

Samples = NDArray[np.float32]
Sound16 = NDArray[np.int16]


class Recording(NamedTuple):
    """A clip between its silent ends."""

    clip: Clip
    plain: Sound16  # (n,)
    coded: Sound16  # (n,) through a codec or a telephone
    speech: NDArray[np.uint8]  # (rows,) how probably each 10 ms are speech, of 255


def _to_16_bits(samples: Samples) -> Sound16:
    return np.clip(samples * FULL_SCALE, -32_767, 32_767).astype(np.int16)


def _hear(numbered: tuple[int, Clip]) -> Recording | None:
    number, clip = numbered
    try:
        samples = read_audio(clip.path)
    except FileError as error:
        print(error)
        return None
    if len(samples) < MIN_SAMPLES:
        return None
    samples = to_target_level(samples)
    speech = speech_of_rows(samples, MfccConfig())
    if (used := within_silence(speech)) is None:
        return None
    first, last = used
    part = slice(first * HOP, last * HOP + FRAME - HOP)
    rng = np.random.default_rng([3, number])
    way = rng.random()
    if way < 0.55:
        coded = codec(samples, rng.uniform(0.5, 0.95))
    else:
        coded = telephone(samples, "GSM610" if way < 0.78 else "ULAW")
    rows = np.round(speech[first:last] * 255).astype(np.uint8)
    return Recording(clip, _to_16_bits(samples[part]), _to_16_bits(to_target_level(coded)[part]), rows)


def _noise(source: Path | int) -> Sound16:
    if isinstance(source, int):
        samples = make_noise(KINDS[source % len(KINDS)], seed=(1, source))
    else:
        try:
            samples = read_audio(source)
        except FileError as error:
            print(error)
            samples = np.zeros(0, np.float32)
    return _to_16_bits(to_target_level(samples[: NOISE_S * SAMPLE_RATE])) if len(samples) else np.zeros(0, np.int16)


def _simulate(seed: int) -> Samples:
    return simulate_rooms(1, np.random.default_rng([1, seed]))[0]


def _rows(weights: Weights, clip: Clip) -> tuple[Clip, Samples, Samples] | None:
    try:
        samples = read_audio(clip.path)
    except FileError as error:
        print(error)
        return None
    return (clip, *clip_rows(samples, weights.mfcc, weights.mel)) if len(samples) >= FRAME else None


class Heard(NamedTuple):
    """A corpus, decoded."""

    recordings: list[Recording]  # the training clips with speech
    noise: Sound16  # (n,) recordings of noise one after the other, then made ones
    recorded: int  # samples of `noise` that are recordings
    rooms: list[Samples]  # impulse responses
    dev: list[tuple[Clip, Samples, Samples]]  # clip, MFCC rows, speech, as `model.verify` takes them


def hear(clips: Sequence[Clip], noises: Sequence[Path], weights: Weights) -> Heard:
    """Decode a corpus on all cores.

    Args:
        clips: those of `train` to learn from, those of `dev` to measure on.
        noises: recordings without speech to learn from.
        weights: whose features the dev clips are measured by.
    """
    train = [clip for clip in clips if clip.split == "train"]
    dev = [clip for clip in clips if clip.split == "dev" and clip.speaker]
    # Forked, while nothing has touched the GPU yet: a process of its own would import PyTorch and Keras first.
    with multiprocessing.get_context("fork").Pool() as pool:

        def each(what: str, work: Callable, given: Sequence) -> Iterator:
            for i, found in enumerate(pool.imap(work, given, chunksize=16)):
                if i % 2_000 == 0:
                    print(f"{what}: {i:,} of {len(given):,}", flush=True)
                if found is not None:
                    yield found

        recorded, made = (list(each("noise", _noise, some)) for some in (noises, range(MADE_NOISES)))
        return Heard(
            list(each("clips", _hear, list(enumerate(train)))),
            np.concatenate([*recorded, *made]),
            sum(map(len, recorded)),
            list(each("rooms", _simulate, range(ROOMS))),
            list(each("dev", partial(_rows, weights), dev)),
        )
