"""Every way from a mouth to a file, drawn anew for every crop on a GPU, and the features of what comes of it."""

import math
from collections.abc import Sequence

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from on_gpu.dice import Dice
from on_gpu.recordings import FULL_SCALE, Samples
from torch.nn import functional

from stream.clock import SAMPLE_RATE
from stream.mfcc import MfccConfig


class Spoiler:
    """One random way from a mouth to a file for each of a batch: as `model.augment`, but for codecs, on a device.

    Args:
        noise: (n,) 16-bit samples, recorded, then made.
        rooms: impulse responses.
        dice: draws everything.
        clean: the share that stays as it is.
    """

    def __init__(self, noise: torch.Tensor, rooms: Sequence[Samples], dice: Dice, clean: float = 0.35) -> None:
        self.noise, self._dice, self._clean = noise, dice, clean
        responses = [np.ones(1, np.float32), *rooms]  # the first is no room at all
        size = max(map(len, responses))
        self._rooms = torch.from_numpy(np.stack([np.pad(r, (0, size - len(r))) for r in responses])).to(dice.device)

    def __call__(self, sound: torch.Tensor) -> torch.Tensor:
        """(n, samples) -> (n, samples)."""
        spoilt = self._dice.uniform(len(sound)) > self._clean
        return self._clip(self._line(self._add(self._room(sound, spoilt), spoilt), spoilt), spoilt)

    def noises(self, first: torch.Tensor, samples: int) -> torch.Tensor:
        """(n, samples) of noise from these places."""
        return self.noise[first[:, None] + torch.arange(samples, device=first.device)].float() / FULL_SCALE

    def _n_fft(self, sound: torch.Tensor) -> int:
        return 1 << (sound.shape[1] + self._rooms.shape[1] - 1).bit_length()

    def _room(self, sound: torch.Tensor, spoilt: torch.Tensor) -> torch.Tensor:
        n, n_fft = len(sound), self._n_fft(sound)
        echoing = spoilt & (self._dice.uniform(n) < 0.5)
        room = torch.where(echoing, 1 + self._dice.below(len(self._rooms) - 1, n), 0)
        spectrum = torch.fft.rfft(sound, n_fft) * torch.fft.rfft(self._rooms[room], n_fft)
        return torch.fft.irfft(spectrum, n_fft)[:, : sound.shape[1]]

    def _add(self, sound: torch.Tensor, spoilt: torch.Tensor) -> torch.Tensor:
        # Noise, four other voices of the batch, hiss, or nothing.
        n, samples, dice = *sound.shape, self._dice
        kind = dice.uniform(n)
        noisy, babbling, hissing = (
            spoilt & (kind >= low) & (kind < high) for low, high in ((0.0, 0.4), (0.4, 0.6), (0.6, 0.8))
        )
        noise = self.noises(dice.below(len(self.noise) - samples - 1, n), samples)
        babble = sum(sound[dice.shuffled(n)] for _ in range(4))
        added = torch.where(noisy[:, None], noise, torch.where(babbling[:, None], babble, dice.normal(n, samples)))
        low = torch.where(noisy, 0.0, torch.where(babbling, 8.0, 10.0))
        width = torch.where(noisy, 20.0, torch.where(babbling, 12.0, 25.0))
        snr_db = low + width * dice.uniform(n)
        gain = (sound.square().mean(1) / added.square().mean(1).clamp_min(1e-9)).sqrt() * 10 ** (-snr_db / 20)
        return sound + added * (gain * (noisy | babbling | hissing))[:, None]

    def _line(self, sound: torch.Tensor, spoilt: torch.Tensor) -> torch.Tensor:
        # A band, or a telephone: a narrow one, and mu-law (ITU-T G.711) in 8 bits.
        n, dice, n_fft = len(sound), self._dice, self._n_fft(sound)
        kind = dice.uniform(n)
        banded, telephoned = spoilt & (kind < 0.2), spoilt & (kind >= 0.2) & (kind < 0.3)
        low_hz = torch.where(telephoned, 300.0, 50 + 300 * dice.uniform(n))[:, None]
        high_hz = torch.where(telephoned, 3_400.0, 3_000 + 4_500 * dice.uniform(n))[:, None]
        order = torch.where(telephoned, 16.0, 8.0)[:, None]
        hz = torch.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE).to(dice.device)[None]
        response = (1 + (low_hz / hz.clamp_min(1)) ** order).rsqrt() * (1 + (hz / high_hz) ** order).rsqrt()
        response = torch.where((banded | telephoned)[:, None], response, 1.0)
        sound = torch.fft.irfft(torch.fft.rfft(sound, n_fft) * response, n_fft)[:, : sound.shape[1]]
        peak, mu = sound.abs().amax(1, keepdim=True).clamp_min(1e-6), 255.0
        code = (torch.sign(sound) * torch.log1p(mu * sound.abs() / peak) / math.log1p(mu) * 127).round() / 127
        return torch.where(
            telephoned[:, None], torch.sign(code) * torch.expm1(code.abs() * math.log1p(mu)) / mu * peak, sound
        )

    def _clip(self, sound: torch.Tensor, spoilt: torch.Tensor) -> torch.Tensor:
        clipped = spoilt & (self._dice.uniform(len(sound)) < 0.1)
        limit = 0.4 * sound.abs().amax(1, keepdim=True)
        return torch.where(clipped[:, None], sound.clamp(-limit, limit), sound)


class Features:
    """`stream.mfcc.Mfcc` on a device: (n, samples) -> (n, rows, n_mfcc)."""

    def __init__(self, config: MfccConfig, bank: NDArray[np.floating], device: str) -> None:
        self.config = config
        beside = (config.n_fft - config.win_length) // 2
        self._window = functional.pad(torch.hann_window(config.win_length, device=device), (beside, beside))
        self._mel = torch.tensor(bank.T.astype(np.float32), device=device)
        cosines = scipy.fft.dct(np.eye(config.n_mels), norm="ortho")[:, : config.n_mfcc]
        self._cosines = torch.tensor(cosines.astype(np.float32), device=device)

    def __call__(self, sound: torch.Tensor) -> torch.Tensor:
        frames = torch.fft.rfft(sound.unfold(1, self.config.n_fft, self.config.hop_length) * self._window)
        power = frames.real.square() + frames.imag.square()
        return (10 * torch.log10((power @ self._mel).clamp_min(1e-10))) @ self._cosines
