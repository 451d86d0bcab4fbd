"""Who speaks in the recordings, and what two teachers hear in all their voices."""

from collections.abc import Sequence

import numpy as np
import torch
from ask_teacher import CamPlusPlus, Ge2e, unit
from on_gpu.dice import Dice
from on_gpu.recordings import Recording
from on_gpu.voices import Bank

from model.pretrain import rivals
from stream.clock import SAMPLE_RATE

STRETCHES = 4  # of a voice that are joined where one is too short
MIN_LANGUAGE_SPEAKERS = 12  # a language with fewer competes with the rest of its corpus
WINDOW, WINDOW_HOP = 2 * SAMPLE_RATE, 3 * SAMPLE_RATE // 2  # that the teachers are asked about, in samples
LESSON_RMS = 0.05  # of each of them


class Speakers:
    """Who speaks in the recordings, those with a name first; draws a voice and clips of it.

    Attributes:
        of_clip: (clips,) the speaker of each.
        named: how many have a name.
        group: (named,) who competes with whom.
        corpora: for each corpus, its speakers.
        corpus: (speakers,) which corpus a speaker is of.
    """

    def __init__(self, recordings: Sequence[Recording], dice: Dice) -> None:
        clips = [recording.clip for recording in recordings]
        keys = [(not clip.speaker, clip.speaker or str(clip.path)) for clip in clips]
        number = {key: i for i, key in enumerate(sorted(set(keys)))}
        of_clip = np.array([number[key] for key in keys])
        first = [clips[i] for i in np.unique(of_clip, return_index=True)[1]]
        self.named = sum(not nameless for nameless, _ in number)
        names, corpus = np.unique([clip.corpus for clip in first], return_inverse=True)
        hours = np.zeros(len(names))
        np.add.at(hours, corpus[of_clip], [len(recording.plain) for recording in recordings])
        # A corpus is drawn with the root of its hours: much speech teaches more, yet no corpus drowns the others.
        self._share = torch.tensor(np.sqrt(hours) / np.sqrt(hours).sum(), device=dice.device)
        own = [np.flatnonzero(of_clip == i) for i in range(len(first))]
        table = np.stack([np.resize(mine, max(map(len, own))) for mine in own])
        self._dice = dice
        self._own, self._clips, self.of_clip, self.corpus, self.group = (
            torch.from_numpy(each).to(dice.device)
            for each in (
                table,
                np.array([len(mine) for mine in own]),
                of_clip,
                corpus,
                rivals(first[: self.named], MIN_LANGUAGE_SPEAKERS),
            )
        )
        self.corpora = [torch.nonzero(self.corpus == i)[:, 0] for i in range(len(names))]

    def __len__(self) -> int:
        return len(self._own)

    def draw(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) speakers, and (n, STRETCHES) clips of each."""
        corpus = self._dice.choose(self._share, n)
        speaker = torch.zeros_like(corpus)
        for i, members in enumerate(self.corpora):
            speaker = torch.where(corpus == i, members[self._dice.below(len(members), n)], speaker)
        clip = self._dice.below(self._clips[speaker][:, None], n, STRETCHES)
        return speaker, self._own[speaker[:, None], clip]


class Lessons:
    """What the teachers hear in windows of all voices, and think of each voice.

    The mean of each corpus is taken away, as in `model.teacher`: a teacher hears the channel too.
    """

    def __init__(self, bank: Bank, speakers: Speakers) -> None:
        device = bank.length.device.type
        self._n = torch.where(bank.length <= WINDOW, 1, 1 + ((bank.length - WINDOW) / WINDOW_HOP).ceil().long())
        self._first = self._n.flatten().cumsum(0).view_as(self._n) - self._n
        self._step = torch.where(self._n > 1, (bank.length - WINDOW) / (self._n - 1).clamp_min(1).double(), 0.0)
        variant, clip = (each.repeat_interleave(self._n.flatten()) for each in _numbers(self._n))
        self._said = self._ask(bank, variant, clip)
        n_variants, voice = len(bank.variants), speakers.of_clip[clip] * len(bank.variants) + variant
        self._thought = torch.zeros(len(speakers) * n_variants, self.size, device=device)
        for part in (slice(0, 256), slice(256, None)):  # of each teacher
            said = self._said[:, part].float()
            mean = torch.zeros(len(self._thought), said.shape[1], device=device).index_add_(0, voice, said)
            mean /= torch.bincount(voice, minlength=len(mean))[:, None]
            of_speaker = mean.view(len(speakers), n_variants, -1).mean(1)
            channel = torch.stack([of_speaker[members].mean(0) for members in speakers.corpora])
            of_voice = channel[speakers.corpus].repeat_interleave(n_variants, 0)
            self._thought[:, part] = unit(mean - of_voice) * 0.5**0.5
            self._said[:, part] = (unit(said - of_voice[voice]) * 0.5**0.5).half()

    @property
    def size(self) -> int:
        """Values of a lesson."""
        return self._said.shape[1]

    def of(
        self,
        voice: torch.Tensor,
        variant: torch.Tensor,
        clips: torch.Tensor,
        skipped: torch.Tensor,
        taken: torch.Tensor,
    ) -> torch.Tensor:
        """(n, size) what to say of stretches: in equal parts the windows nearest their middles, and the voice."""
        step = self._step[variant[:, None], clips]
        middle = skipped + taken // 2 - WINDOW // 2
        window = torch.where(step > 0, (middle / step.clamp_min(1)).round().long(), 0).clamp_min(0)
        window = self._first[variant[:, None], clips] + torch.minimum(window, self._n[variant[:, None], clips] - 1)
        heard = (self._said[window].float() * taken[:, :, None]).sum(1)
        return unit(unit(heard) + self._thought[voice])

    def _ask(self, bank: Bank, variant: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
        device = clip.device.type
        batch = 4_096 if device == "cuda" else 32
        precisions = (torch.float16, torch.bfloat16) if device == "cuda" else (torch.float32, torch.float32)
        teachers = [teacher(device, bits) for teacher, bits in zip((Ge2e, CamPlusPlus), precisions, strict=True)]
        nth = torch.arange(len(clip), device=device) - self._first[variant, clip]
        start = bank.start[0, variant, clip] + (nth * self._step[variant, clip]).long()
        length = bank.length[variant, clip].clamp_max(WINDOW)[:, None]  # too little is said again
        said = []
        with torch.no_grad():
            for at in range(0, len(clip), batch):
                here = slice(at, at + batch)
                sound = bank.sound(start[here, None] + torch.arange(WINDOW, device=device) % length[here])
                sound = sound * (LESSON_RMS / sound.square().mean(1, keepdim=True).sqrt().clamp_min(1e-5))
                said.append(torch.cat([unit(teacher(sound)) for teacher in teachers], 1).half())
                if at // batch % 40 == 0:
                    print(f"teachers: {at:,} of {len(clip):,} windows", flush=True)
        return torch.cat(said)


def _numbers(table: torch.Tensor) -> list[torch.Tensor]:
    # The row and the column of every cell.
    return list(torch.cartesian_prod(*(torch.arange(n, device=table.device) for n in table.shape)).T)
