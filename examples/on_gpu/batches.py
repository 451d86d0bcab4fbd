"""Batches: crops of the voices, spoilt, with what is to be learned from them."""

import math
from typing import NamedTuple

import torch
from on_gpu.dice import Dice
from on_gpu.lessons import STRETCHES, Lessons, Speakers
from on_gpu.recordings import HOP, Heard
from on_gpu.spoil import Features, Spoiler
from on_gpu.voices import Bank
from torch.nn import functional

from model.feature_store import TARGET_RMS

CODED_SHARE = 0.15  # of the crops, from the coded copy where there is one
PLAIN_SHARE = 0.2  # of the first variant, a clip as it came, among all
NOISE_SHARE = 0.07  # of a batch that is noise alone, 0.45 of it recorded, and 0.7 of it as it came
GAIN_DB, CHANNEL_DB = 10.0, 3.0  # standard deviations, as `PretrainConfig`'s, the second times a number in [0, 1)


class Batch(NamedTuple):
    """Crops, spoilt: first those of speech, which the last three tell of, then those of noise alone."""

    mfcc: torch.Tensor  # (n, frames, n_mfcc)
    share: torch.Tensor  # (n, frames) how probably each is speech
    speaker: torch.Tensor  # (spoken,)
    variant: torch.Tensor  # (spoken,)
    lesson: torch.Tensor  # (spoken, d)

    @property
    def spoken(self) -> int:
        """How many are speech."""
        return len(self.speaker)


class Batches:
    """Draws crops of any length from the voices."""

    def __init__(
        self, heard: Heard, bank: Bank, speakers: Speakers, lessons: Lessons, features: Features, dice: Dice
    ) -> None:
        self.bank, self.speakers, self.lessons, self._features, self._dice = bank, speakers, lessons, features, dice
        self._spoil = Spoiler(torch.from_numpy(heard.noise).to(dice.device), heard.rooms, dice)
        self._recorded = heard.recorded
        n = len(bank.variants)
        others = [(1 - PLAIN_SHARE) / max(1, n - 1)] * (n - 1)
        self._variants = torch.tensor([PLAIN_SHARE if others else 1.0, *others], device=dice.device)
        # A constant filter adds a constant to every row; see `model.pretrain`.
        quefrency = torch.arange(1, features.config.n_mfcc, device=dice.device)
        self._channel = math.sqrt(features.config.n_mels) * CHANNEL_DB / math.sqrt(math.pi**2 / 6) / quefrency
        self._gain = math.sqrt(features.config.n_mels) * GAIN_DB

    def draw(self, frames: int, n: int) -> Batch:
        """A batch of `n` crops."""
        dice, bank = self._dice, self.bank
        silent, samples = int(n * NOISE_SHARE), (frames - 1) * HOP + self._features.config.n_fft
        spoken = n - silent
        speaker, clips = self.speakers.draw(spoken)
        variant = dice.choose(self._variants, spoken)
        coded = (dice.uniform(spoken) < CODED_SHARE).long()
        start = bank.start[coded[:, None], variant[:, None], clips]
        skipped, taken = self._cut(bank.length[variant[:, None], clips], samples)
        ends = taken.cumsum(1)

        def locate(at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            # Which stretch a sample of the crop is of, and where it is in its clip; what is too short begins again.
            at = at[None] % ends[:, -1:]
            which = (at[:, :, None] >= ends[:, None, :-1]).sum(-1)
            return which, at + (skipped - ends + taken).gather(1, which)

        which, inside = locate(torch.arange(samples, device=dice.device))
        sound = bank.sound(start.gather(1, which) + inside)
        which, inside = locate(torch.arange(frames, device=dice.device) * HOP)
        share = bank.speech_at(clips.gather(1, which), inside, bank.speed[variant][:, None])
        voice = speaker * len(bank.variants) + variant
        lesson = self.lessons.of(voice, variant, clips, skipped, taken)
        if silent:
            sound = torch.cat([sound, self._noise(silent, samples)])
            share = functional.pad(share, (0, 0, 0, silent))
        spoilt = self._spoil(sound)
        if silent:
            spoilt[spoken:] = torch.where(dice.uniform(silent, 1) < 0.7, sound[spoken:], spoilt[spoken:])
        return Batch(self._features(spoilt) + self._filter(n)[:, None], share, speaker, variant, lesson)

    def _cut(self, length: torch.Tensor, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        # (n, STRETCHES) samples left out before each stretch, and taken for it, until there are enough.
        taken, missing = torch.zeros_like(length), torch.full_like(length[:, 0], samples)
        for i in range(STRETCHES):
            taken[:, i] = torch.minimum(missing, length[:, i])
            missing = missing - taken[:, i]
        skipped = (self._dice.uniform(*length.shape) * (length - taken + 1)).long()
        return torch.minimum(skipped, length - taken), taken

    def _noise(self, n: int, samples: int) -> torch.Tensor:
        recorded = (self._dice.uniform(n) < 0.45) & (self._recorded > samples)
        first = torch.where(recorded, 0, self._recorded)
        room = torch.where(recorded, self._recorded, len(self._spoil.noise) - self._recorded) - samples
        noise = self._spoil.noises(first + self._dice.below(room, n), samples)
        return noise * (TARGET_RMS / noise.square().mean(1, keepdim=True).sqrt().clamp_min(1e-4))

    def _filter(self, n: int) -> torch.Tensor:
        # (n, n_mfcc) a gain and a smooth filter.
        offset = self._dice.normal(n, self._features.config.n_mfcc)
        offset[:, 0] *= self._gain
        offset[:, 1:] *= self._channel * self._dice.uniform(n, 1)
        return offset
