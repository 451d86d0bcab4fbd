"""Learn four more last layers on the frame layers of a trained network, and join them with its own into one.

    python examples/learn_last_layers.py CORPUS NETWORK.npz OUT.npz

CORPUS is as `livespeaker pretrain` takes it. NETWORK.npz is what `train_on_gpu.py` wrote; `livespeaker pretrain
--network OUT.npz` makes weights of the result. It needs no GPU, 1 MB of memory for each speaker, and an environment of
its own with livespeaker in it:

    pip install torch "setuptools<80" Resemblyzer pyroomacoustics && pip install .

The frame layers are run as they run live, on 8-bit matrices, over some training speech of every speaker: at two speeds,
which make two voices of one, as it came and spoilt. What the pooling needs of each hop is kept; from then on a batch
is a few additions. Resemblyzer (GE2E, Apache-2.0) hears the same speech. On that, last layers are learned one by one
with a margin softmax (Deng et al., 2019) among voices of one corpus and language, and 20 times the distance to what
Resemblyzer says. They differ in what `Layer` tells, and so in their errors: `model.last_layer` joins them. The layer
that the network came with counts twice, since `train_on_gpu.py` made it of two.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from resemblyzer import VoiceEncoder, normalize_volume
from torch import nn
from torch.nn import functional

os.environ["KERAS_BACKEND"] = "tensorflow"  # only that converts to LiteRT
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from taught_layer import affine, push_back

from model.augment import augment, change_speed, simulate_rooms
from model.corpus import Clip, learned_from, noise_files, read_audio, read_corpus
from model.encoder import Encoder, moments
from model.last_layer import LastLayer, join_layers
from model.pretrain import rivals
from model.ship import write_draft
from model.teacher import unit
from model.trained import Trained, read_trained, write_trained
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, LivespeakerError

Floats = NDArray[np.float32]

SPEEDS = (1.0, 0.88)
SPEAKER_S, CLIP_S, LEAST_S = 8.0, 5.0, 0.3  # of speech: of a speaker, and of a clip, at most; of a clip, at least
SPEAKER_RMS = 0.1
LESSON_S = 1.6  # that Resemblyzer hears at once
ROOMS, BABBLERS = 40, 48
HOPS = (8, 12, 20)  # of the pieces of a batch, by turns
HEARD_HOPS, HEARD = (8, 30), 6_000  # pieces that tell which directions of the joined layers are the main ones
MIN_LANGUAGE_SPEAKERS = 20  # a language with fewer competes with the rest of its corpus
SCALE, TEACHER_WEIGHT, PUSH = 30.0, 20.0, 0.1
RATE, DECAY, WARM_UP = 2e-3, 1e-4, 0.1
OWN_WEIGHT = 2.0  # of the network's last layer; a new one has 1


@dataclass(frozen=True, slots=True)
class Layer:
    """What one last layer is taught, where they differ."""

    margin: float  # in radians, reached after a third of the steps
    centres: int = 1  # of every voice, the nearest of which counts (Deng et al., 2020)
    pushed: int = 0  # nearest rivals whose cosines are raised by 0.1 in the end: they are what errors are made of
    voice_only: bool = False  # the lesson is what Resemblyzer thinks of the voice; else half of it is of the very clips
    alike: bool = False  # every corpus is drawn as often; else with the root of its hours


LAYERS = (
    Layer(margin=0.4),
    Layer(margin=0.4, centres=3),
    Layer(margin=0.3, voice_only=True),
    Layer(margin=0.4, pushed=5, alike=True),
)


@dataclass(frozen=True, eq=False, slots=True)
class Heard:
    """A clip at a speed, heard once, as it came or spoilt."""

    clip: Clip
    speed: float
    sums: NDArray[np.float16]  # (hops, 1 + gates + 2 * pooled), see `HopSums`
    said: Floats  # (256,) unit length, what Resemblyzer hears in it as it came


def some_of(clips: Sequence[Clip], speakers: int, rng: np.random.Generator) -> Iterator[tuple[Clip, Floats]]:
    """Some seconds of each of at most so many speakers of a corpus, at one level."""
    by_speaker: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        by_speaker[clip.corpus][clip.speaker].append(clip)
    for _, own in sorted(by_speaker.items()):
        for speaker in rng.permutation(sorted(own))[:speakers].tolist():
            left = SPEAKER_S
            for i in rng.permutation(len(own[speaker])).tolist():
                clip = own[speaker][i]
                with suppress(FileError):
                    samples = read_audio(clip.path)[: int(CLIP_S * SAMPLE_RATE)]
                    rms = np.sqrt(np.mean(np.square(samples)))
                    if left > 0 and rms > 0 and len(samples) >= LEAST_S * SAMPLE_RATE:
                        left -= len(samples) / SAMPLE_RATE
                        yield clip, samples * np.float32(SPEAKER_RMS / rms)


def ask(teacher: VoiceEncoder, samples: Floats) -> Floats:
    """(256,) what Resemblyzer hears between the quiet ends of a clip; too little is said again."""
    power = np.convolve(samples**2, np.ones(400) / 400, "same")
    (loud,) = np.nonzero(power > power.max() * 1e-3)
    spoken = samples[loud[0] : loud[-1] + 1]
    spoken = np.resize(spoken, max(len(spoken), round(LESSON_S * SAMPLE_RATE)))
    return teacher.embed_utterance(normalize_volume(spoken, -30))


def hear(encoder: Encoder, corpus: Path, speakers: int, rng: np.random.Generator) -> list[Heard]:
    """Training speech through the frame layers and through Resemblyzer."""
    clips = [clip for clip in read_corpus(corpus) if clip.split == "train" and clip.speaker]
    noises = [read_audio(file) for file in learned_from(noise_files(corpus))]
    babblers = [read_audio(clips[i].path) for i in rng.integers(len(clips), size=BABBLERS)]
    rooms, teacher = simulate_rooms(ROOMS, rng), VoiceEncoder("cpu", verbose=False)
    heard: list[Heard] = []
    for n, (clip, samples) in enumerate(some_of(clips, speakers, rng), 1):
        for speed in SPEEDS:
            voice = change_speed(samples, speed)
            said = ask(teacher, voice)
            for sound in (voice, augment(voice, noises, babblers, rooms, rng)):
                hops = encoder.hops(sound, sample_rate=SAMPLE_RATE)
                heard.append(Heard(clip, speed, np.array([hop.sums for hop in hops], np.float16), said))
        if n % 100 == 0:
            print(f"{n:,} clips, {sum(len(each.sums) for each in heard):,} hops", flush=True)
    return heard


class Voices:
    """Who is learned: every speaker at every speed; draws pieces of what they say.

    Attributes:
        group: (voices,) who competes with whom.
    """

    def __init__(self, heard: Sequence[Heard], gates: int) -> None:
        self._heard, self._gates = heard, gates
        keys = [(each.clip.corpus, each.clip.speaker, each.speed) for each in heard]
        names, number = np.unique([f"{speed}/{speaker}" for _, speaker, speed in keys], return_inverse=True)
        self._own = [np.flatnonzero(number == i) for i in range(len(names))]
        self.group = rivals([heard[own[0]].clip for own in self._own], len(SPEEDS) * MIN_LANGUAGE_SPEAKERS)
        # A teacher hears the channel too: what it says of all of a corpus at a speed is taken away.
        said, channel = np.stack([each.said for each in heard]), np.array([f"{c}/{speed}" for c, _, speed in keys])
        for each in set(channel.tolist()):
            said[channel == each] -= said[channel == each].mean(axis=0)
        self._said = unit(said)
        self._thought = unit(np.stack([self._said[own].sum(axis=0) for own in self._own]))
        corpora = np.array([keys[own[0]][0] for own in self._own])
        self._corpora = [np.flatnonzero(corpora == corpus) for corpus in sorted(set(corpora.tolist()))]
        hours = np.array([sum(len(heard[i].sums) for v in own for i in self._own[v]) for own in self._corpora])
        self._share = np.sqrt(hours) / np.sqrt(hours).sum()

    def __len__(self) -> int:
        return len(self._own)

    def draw(self, layer: Layer, n: int, hops: int, rng: np.random.Generator) -> tuple[Floats, NDArray, Floats]:
        """(n, 2 * pooled) moments of pieces of so many hops, (n,) their voices, (n, 256) what to say of them."""
        share = None if layer.alike else self._share
        voices = np.array([rng.choice(self._corpora[c]) for c in rng.choice(len(self._corpora), n, p=share)])
        sums, local = np.zeros((n, self._heard[0].sums.shape[1]), np.float32), np.zeros((n, 256), np.float32)
        for row, voice in enumerate(voices.tolist()):
            missing = hops
            while missing > 0:
                i = rng.choice(self._own[voice])
                taken = self._cut(i, missing, rng)
                sums[row] += taken.sum(axis=0, dtype=np.float32)
                local[row] += len(taken) * self._said[i]
                missing -= len(taken)
        lesson = self._thought[voices] if layer.voice_only else unit(unit(local) + self._thought[voices])
        return moments(sums, self._gates), voices, lesson

    def pieces(self, n: int, hops: tuple[int, int], rng: np.random.Generator) -> Floats:
        """(n, 2 * pooled) moments of pieces of single clips."""
        lengths = rng.integers(hops[0], hops[1] + 1, n).tolist()
        cuts = [self._cut(rng.integers(len(self._heard)), length, rng) for length in lengths]
        return moments(np.stack([cut.sum(axis=0, dtype=np.float32) for cut in cuts]), self._gates)

    def _cut(self, i: int, hops: int, rng: np.random.Generator) -> NDArray[np.float16]:
        sums = self._heard[i].sums
        at = rng.integers(max(1, len(sums) - hops + 1))
        return sums[at : at + hops]


class Student(nn.Module):
    """A last layer, and beside it what teaches it: the centres of the voices, and a guess of the lesson."""

    def __init__(self, usual: Floats, size: int, classes: int, rng: np.random.Generator) -> None:
        super().__init__()

        def glorot(*shape: int) -> nn.Parameter:
            spread = (2 / sum(shape)) ** 0.5
            return nn.Parameter(torch.from_numpy(rng.normal(0, spread, shape).astype(np.float32)))

        self.kernel, self.centres = glorot(usual.shape[1], size), glorot(size, classes)
        self.lesson, self.norm = glorot(size, 256), nn.BatchNorm1d(size, eps=1e-3, momentum=0.03)
        self._mean, self._deviation = (torch.from_numpy(x) for x in (usual.mean(axis=0), usual.std(axis=0) + 1e-3))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Moments to embeddings of unit length."""
        return functional.normalize(self.norm((rows - self._mean) / self._deviation @ self.kernel), dim=1)

    def last_layer(self) -> LastLayer:
        """What was learned, without the teacher."""
        return affine(self.kernel, self.norm, self.lesson, self._mean, self._deviation)


def surprise(cosine: torch.Tensor, voice: torch.Tensor, rival: torch.Tensor, layer: Layer, ramp: float) -> torch.Tensor:
    """The cross-entropy of (n, voices * centres) cosines, with so much of the margin and the push; rivals compete."""
    cosine = cosine.view(len(cosine), -1, layer.centres).amax(2)
    pushed = push_back(cosine.gather(1, voice[:, None]), layer.margin * ramp)
    if layer.pushed:
        others = cosine.detach().masked_fill(~rival, -2).scatter(1, voice[:, None], -2)
        nearest = others.topk(min(layer.pushed, cosine.shape[1]), dim=1).indices
        cosine = cosine.scatter_add(1, nearest, torch.full(nearest.shape, PUSH * ramp))
    logits = (SCALE * cosine.scatter(1, voice[:, None], pushed)).masked_fill(~rival, -1e4)
    return functional.cross_entropy(logits, voice)


def learn(voices: Voices, layer: Layer, size: int, steps: int, batch: int, rng: np.random.Generator) -> LastLayer:
    """One last layer."""
    usual = np.concatenate([voices.draw(layer, 3 * batch, hops, rng)[0] for hops in HOPS])
    student, group = Student(usual, size, len(voices) * layer.centres, rng), torch.from_numpy(voices.group)
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, weight_decay=DECAY, eps=1e-7)
    warm = max(1, round(WARM_UP * steps))
    for step in range(steps):
        cooled = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm)))
        optimizer.param_groups[0]["lr"] = RATE * min((step + 1) / warm, cooled)
        rows, voice, lesson = (torch.from_numpy(x) for x in voices.draw(layer, batch, HOPS[step % len(HOPS)], rng))
        embedding = student(rows)
        cosine = embedding @ functional.normalize(student.centres, dim=0)
        rival = group[voice][:, None] == group[None]
        distance = 1 - (lesson * functional.normalize(embedding @ student.lesson, dim=1)).sum(1).mean()
        loss = surprise(cosine, voice, rival, layer, min(1.0, 3 * step / steps)) + TEACHER_WEIGHT * distance
        optimizer.zero_grad()
        loss.backward()
        for each in student.parameters():
            nn.utils.clip_grad_norm_([each], 5.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(f"{layer}: step {step + 1} of {steps}, loss {loss.item():.2f}", flush=True)
    return student.last_layer()


def improve(asked: argparse.Namespace) -> None:
    """Read the network, hear the corpus, learn, join, write."""
    if not asked.out.parent.is_dir():  # told before the work, not after it
        raise FileError(f"expected a folder for {asked.out}, found none; make it first")
    trained, rng = read_trained(asked.network), np.random.default_rng(asked.seed)
    with TemporaryDirectory(prefix="livespeaker-last-", ignore_cleanup_errors=True) as folder:
        write_draft(trained.weights, trained.network, trained.mfcc, trained.card, Path(folder))
        heard = hear(Encoder.load(Path(folder)), asked.corpus, asked.speakers, rng)
    voices, size = Voices(heard, trained.network.gates), trained.network.embedding
    print(f"{len(heard):,} times a clip was heard, of {len(voices):,} voices")
    own = tuple(trained.weights[f"segment_dense/{part}"].astype(np.float64) for part in ("kernel", "bias"))
    new = [learn(voices, layer, size, asked.steps, asked.batch, rng) for layer in LAYERS]
    kernel, bias = join_layers(
        [own, *new], [OWN_WEIGHT, *(1.0 for _ in new)], voices.pieces(HEARD, HEARD_HOPS, rng), size
    )
    joined = {"segment_dense/kernel": kernel.astype(np.float16), "segment_dense/bias": bias.astype(np.float16)}
    facts = {
        "learned_by": "examples/learn_last_layers.py",
        "layers": [asdict(layer) for layer in LAYERS],
        "teacher": f"Resemblyzer {version('Resemblyzer')}",
        **{"voices": len(voices), "steps": asked.steps, "batch": asked.batch, "seed": asked.seed},
    }
    card = {**trained.card, "last_layers": facts}
    write_trained(asked.out, Trained({**trained.weights, **joined}, trained.network, trained.mfcc, card))
    print(f"The network is in {asked.out}; make weights of it with livespeaker pretrain --network")


def main() -> None:
    """Read the command line; what is wrong is one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="as livespeaker pretrain takes it")
    parser.add_argument("network", type=Path, help="to begin with, as train_on_gpu.py writes it")
    parser.add_argument("out", type=Path, help="where to: the same with another last layer")
    parser.add_argument("--steps", type=int, default=900, help="of each layer")
    parser.add_argument("--batch", type=int, default=128, help="pieces of speech in a step")
    parser.add_argument("--speakers", type=int, default=900, help="of each corpus, at most")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    try:
        improve(parser.parse_args())
    except LivespeakerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
