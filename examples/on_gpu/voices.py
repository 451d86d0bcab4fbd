"""Every clip as many voices, in the memory of a GPU: played faster or slower, or with its formants moved."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from on_gpu.recordings import FRAME, FULL_SCALE, HOP, Recording
from torch.nn import functional

from stream.clock import SAMPLE_RATE

CODED = 5  # of the variants, the first so many, have a coded copy beside
CHUNK_SAMPLES = 6_000_000  # computed at once


class Variant(NamedTuple):
    """How a clip is played to become a voice."""

    speed: float  # times as fast: pitch and formants move
    formants: float  # times as high: they alone move

    def near(self, other: "Variant") -> bool:
        """Whether the two sound so much alike that they may well be one person's."""
        pitch = self.speed / other.speed
        return all(abs(math.log(ratio)) < 0.08 for ratio in (pitch, pitch * self.formants / other.formants))


VARIANTS = tuple(
    Variant(speed, formants)
    for speed, formants in (
        (1, 1), (0.82, 1), (0.9, 1), (1.1, 1), (1.2, 1), (0.77, 1), (0.95, 1), (1.05, 1), (1.28, 1),
        (1, 0.88), (1, 1.13), (0.9, 1.1), (1.12, 0.9),
    )
)  # fmt: skip


def change_speed(samples: torch.Tensor, speed: float) -> torch.Tensor:
    """(n,) played `speed` times as fast: a windowed sinc for each of the phases, 12 zero crossings to either side."""
    step, phases = round(speed * 100), 100
    shared = math.gcd(step, phases)
    step, phases = step // shared, phases // shared
    if step == phases:
        return samples
    cutoff = min(step, phases) * 0.97
    width = math.ceil(12 * step / cutoff)
    at = torch.arange(-width, width + step, device=samples.device, dtype=torch.float64) / step
    late = torch.arange(0, -phases, -1, device=samples.device, dtype=torch.float64) / phases
    t = ((late[:, None] + at[None]) * cutoff).clamp(-12, 12)
    kernel = torch.sinc(t) * torch.cos(t * math.pi / 24).square() * (cutoff / step)
    padded = functional.pad(samples, (width, width + step))[None, None]
    played = functional.conv1d(padded, kernel[:, None].float(), stride=step)[0]
    return played.T.reshape(-1)[: len(samples) * phases // step]


def move_formants(samples: torch.Tensor, factor: float) -> torch.Tensor:
    """(n,) with the spectral envelope stretched by `factor`, the pitch kept.

    The envelope is the cepstrum below 1.7 ms, which the pitch of a voice lies above.
    """
    hann, n_fft, bins, lifter = torch.hann_window(FRAME, device=samples.device), FRAME, FRAME // 2 + 1, 27
    spectrum = torch.stft(samples, n_fft, n_fft // 4, window=hann, return_complex=True)
    loud = torch.log(spectrum.abs() + 1e-4)
    cepstrum = torch.fft.fft(torch.cat([loud, loud[1:-1].flip(0)]), dim=0).real
    cepstrum[lifter : n_fft - lifter + 1] = 0
    envelope = torch.fft.ifft(cepstrum, dim=0).real[:bins]
    source = torch.arange(bins, device=samples.device) / factor
    below = source.floor().clamp(0, bins - 2).long()
    part = (source - below).clamp(0, 1)[:, None]
    moved = envelope[below] * (1 - part) + envelope[below + 1] * part
    changed = spectrum * torch.exp((moved - envelope).clamp(-3, 3))
    return torch.istft(changed, n_fft, n_fft // 4, window=hann, length=len(samples))


class Bank:
    """The sound of every clip as every voice, in the memory of a device.

    Attributes:
        length: (variants, clips) samples.
        start: (2, variants, clips) where the plain and the coded copy begin; some variants have the plain one only.
        speech: (rows,) Silero's of all clips, of 255.
        first_row, rows: (clips,) where each clip's begin, and how many they are.
    """

    def __init__(self, recordings: Sequence[Recording], variants: Sequence[Variant], device: str) -> None:
        self.variants, self.speed = variants, torch.tensor([v.speed for v in variants], device=device)
        samples = np.array([len(r.plain) for r in recordings])
        length = np.array([np.floor(samples / v.speed).astype(np.int64) - 2 for v in variants])
        start = np.zeros((2, *length.shape), np.int64)
        pieces = _pieces(samples)
        parts = [(0, v) for v in range(len(variants))] + [(1, v) for v in range(min(CODED, len(variants)))]
        # Allocated at once: to join the parts would need the memory twice.
        total = sum(math.ceil(samples[piece].sum() / variants[v].speed) for _, v in parts for piece in pieces)
        self._sound, end = torch.empty(total, dtype=torch.int16, device=device), 0
        for source in (0, 1):
            for piece in pieces:
                copies = [r.coded if source else r.plain for r in recordings[piece]]
                joined = torch.from_numpy(np.concatenate(copies)).to(device).float()
                first = np.cumsum(samples[piece]) - samples[piece]
                for v in (v for of, v in parts if of == source):
                    played = change_speed(joined, variants[v].speed)
                    if variants[v].formants != 1:
                        played = move_formants(played, variants[v].formants)
                    start[source, v, piece] = end + np.round(first / variants[v].speed).astype(np.int64)
                    self._sound[end : end + len(played)] = played.clamp(-32_767, 32_767).round().to(torch.int16)
                    end += len(played)
        start[1, CODED:] = start[0, CODED:]
        rows = np.array([len(r.speech) for r in recordings])
        self.length, self.start, self.rows, self.first_row = (
            torch.from_numpy(table).to(device) for table in (length, start, rows, np.cumsum(rows) - rows)
        )
        self.speech = torch.from_numpy(np.concatenate([r.speech for r in recordings])).to(device)

    @property
    def hours(self) -> float:
        """Of sound, over all voices and copies."""
        return len(self._sound) / SAMPLE_RATE / 3600

    def sound(self, at: torch.Tensor) -> torch.Tensor:
        """The samples at these places, as floats."""
        return self._sound[at].float() / FULL_SCALE

    def speech_at(self, clip: torch.Tensor, sample: torch.Tensor, speed: torch.Tensor) -> torch.Tensor:
        """How probably there is speech at a sample of a clip played at a speed."""
        row = (sample.float() * speed / HOP).round().long()
        return self.speech[self.first_row[clip] + torch.minimum(row, self.rows[clip] - 1)].float() / 255


def _pieces(samples: NDArray[np.int64]) -> list[slice]:
    # Clips, one after the other, that are computed at once.
    cuts, ends = [0], np.cumsum(samples)
    for i in range(1, len(samples) + 1):
        if i == len(samples) or ends[i - 1] - (ends[cuts[-1] - 1] if cuts[-1] else 0) > CHUNK_SAMPLES:
            cuts.append(i)
    return [slice(first, last) for first, last in pairwise(cuts)]
