"""Teach the shipped network to notice two people at once.

    python examples/teach_overlap.py CORPUS model/weights/overlap.npz

CORPUS is as `livespeaker pretrain` takes it, with a folder of noise. Its training speakers are mixed two by two, 0 to
6 dB apart, one over a part of the other; half of it in noise, a third in rooms. Beside the mixtures there is the first
speaker alone, spoilt alike, and one after the other without a pause: that is no overlap. A logistic regression on
half seconds is written, and tried on dev speakers. It needs pyroomacoustics and 1.7 GB of memory, and takes some ten
minutes on one core that has nothing else to do.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from model.augment import add_noise, simulate_rooms
from model.corpus import Clip, held_out, noise_files, read_audio, read_corpus
from model.encoder import Encoder
from model.overlap import HEARD_HOPS, features
from stream.clock import SAMPLE_RATE

Floats = NDArray[np.float32]
Rows = tuple[Floats, NDArray[np.bool_]]  # (n, features) of half seconds, and whether two people speak

SPEECH = 0.5  # mean probability from which a hop is speech
HISS = 1e-4


class Scenes:
    """Two people of one corpus, in every way that is taught.

    Args:
        encoder: the network.
        clips: of the speakers, and of noise.
        noises: recordings without speech.
        rng: draws everything.
    """

    def __init__(self, encoder: Encoder, clips: list[Clip], noises: list[Floats], rng: np.random.Generator) -> None:
        self._encoder, self._noises, self._rng = encoder, noises, rng
        self._gates = int(encoder.weights.network["gates"])
        speakers: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
        for clip in clips:
            if clip.speaker:
                speakers[clip.corpus][clip.speaker].append(clip)
        self._corpora = [list(own.values()) for own in speakers.values() if len(own) > 1]
        share = np.sqrt([sum(map(len, own)) for own in self._corpora])
        self._share = share / share.sum()
        self._rooms = simulate_rooms(30, rng)

    def draw(self, n: int) -> Rows:
        """The half seconds of so many scenes."""
        rows = [row for _ in range(n) for row in self._scene()]
        return np.concatenate([heard for heard, _ in rows]), np.concatenate([both for _, both in rows])

    def _scene(self) -> Iterator[Rows]:
        rng = self._rng
        own = self._corpora[rng.choice(len(self._corpora), p=self._share)]
        first, second = (own[i] for i in rng.choice(len(own), 2, replace=False))
        n = int(rng.uniform(4, 6) * SAMPLE_RATE)
        one, other = self._line(first, n), self._line(second, n) * np.float32(10 ** (rng.uniform(-6, 6) / 20))
        if rng.random() < 0.35:
            rooms = [self._rooms[rng.integers(len(self._rooms))] for _ in range(2)]
            one, other = (
                oaconvolve(x, room)[:n].astype(np.float32) for x, room in zip((one, other), rooms, strict=True)
            )
        level = np.float32(10 ** (rng.uniform(-38, -18) / 20))
        one, other = one * level, other * level
        m, change = int(rng.uniform(1, 3) * SAMPLE_RATE), int(rng.integers(SAMPLE_RATE, n - SAMPLE_RATE))
        at = int(rng.integers(n - m))
        part = np.zeros_like(other)
        part[at : at + m] = other[:m]
        noise, snr_db = self._noises[rng.integers(len(self._noises))], rng.uniform(8, 25)
        noisy = rng.random() < 0.5
        spoken = [self._hops(line)[1] >= SPEECH for line in (one, part)]
        for samples, both in (
            (one + part, spoken[0] & spoken[1]),
            (one, np.zeros_like(spoken[0])),
            (np.concatenate([one[:change], other[: n - change]]), np.zeros_like(spoken[0])),
        ):
            spoilt = add_noise(samples, noise, snr_db, rng) if noisy else samples
            yield self._windows(*self._hops(spoilt), both)

    def _line(self, clips: list[Clip], n: int) -> Floats:
        # What somebody says, without the silence around it, at a power of one.
        said: list[Floats] = []
        while sum(map(len, said)) < n:
            samples = read_audio(clips[self._rng.integers(len(clips))].path)
            frames = samples[: len(samples) // 400 * 400].reshape(-1, 400)
            power = np.mean(np.square(frames), axis=1)
            (loud,) = np.nonzero(power > power.max(initial=0.0) * 10**-3.5)
            if len(loud):
                active = samples[loud[0] * 400 : (loud[-1] + 1) * 400]
                said.append(active / np.float32(max(power[loud].mean(), 1e-12) ** 0.5))
        return np.concatenate(said)[:n]

    def _hops(self, samples: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        hiss = self._rng.normal(0, HISS, len(samples)).astype(np.float32)
        hops = self._encoder.hops(samples + hiss, sample_rate=SAMPLE_RATE)
        return np.stack([hop.sums for hop in hops]), np.array([hop.speech for hop in hops])

    def _windows(self, sums: NDArray[np.float64], speech: NDArray[np.float64], both: NDArray[np.bool_]) -> Rows:
        # Every third half second that ends with speech; those that two people share a little of say nothing.
        kept, labels = [], []
        for end in range(HEARD_HOPS + int(self._rng.integers(3)), len(sums) + 1, 3):
            share = both[end - HEARD_HOPS : end].mean()
            if speech[end - 1] >= SPEECH and (share == 0 or share >= 0.6):
                kept.append(sums[end - HEARD_HOPS : end].sum(axis=0))
                labels.append(share > 0)
        return features(np.reshape(kept, (-1, sums.shape[1])), self._gates), np.array(labels, bool)


def teach(rows: Rows) -> tuple[Floats, float]:
    """The kernel and the bias of a logistic regression; those with two voices weigh as much as those with one."""
    heard, both = rows
    mean, deviation = heard.mean(axis=0), heard.std(axis=0) + np.float32(1e-6)
    fit = LogisticRegression(C=3e-3, class_weight="balanced", max_iter=500).fit((heard - mean) / deviation, both)
    kernel = fit.coef_[0] / deviation
    return kernel, float(fit.intercept_[0] - kernel @ mean)


def main() -> None:
    """Teach, try, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    encoder, rng = Encoder.load(), np.random.default_rng(asked.seed)
    clips, files = read_corpus(asked.corpus), noise_files(asked.corpus)
    kept = set(held_out(files))
    rows = {}
    for split, scenes in (("train", asked.scenes), ("dev", asked.scenes // 9)):
        noises = [read_audio(file) for file in files if (file in kept) == (split == "dev")]
        rows[split] = Scenes(encoder, [clip for clip in clips if clip.split == split], noises, rng).draw(scenes)
    kernel, bias = teach(rows["train"])
    for split, (heard, both) in rows.items():
        auc = roc_auc_score(both, heard @ kernel + bias)
        print(f"{split}: {len(both):,} half seconds, {both.mean():.0%} of two voices, area under the curve {auc:.3f}")
    np.savez(asked.out, kernel=kernel, bias=bias, network=encoder.weights.sha256)


if __name__ == "__main__":
    main()
