"""From frames to voice embeddings, hop by hop, on LiteRT.

    Frames -> FrameLayers -> HopSums -> Pooling -> Embedding

The frame layers keep their left context in tensors that go in and come out. The pooling needs three sums
per hop, so a window of any length is an addition; nothing is ever subtracted, so nothing drifts.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.weights import SHIPPED, Weights, load_weights_folder
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import EnrolmentError
from stream.features import Features
from stream.quiet import quiet_stderr
from stream.records import Block, Embedding, Frames
from stream.resample import Resampler

__all__ = ["WINDOW_HOPS", "Encoder", "FrameLayers", "HopSums", "Pooling", "StreamingEncoder"]

WINDOW_HOPS = (5, 10, 20, 40)
"""Lengths of the windows that are embedded at every hop: 0.5, 1, 2 and 4 s."""

# As in the network: what a variance gets before its root, and a weight at least.
VARIANCE_FLOOR = 1e-4
WEIGHT_FLOOR = 1e-3
# Seconds of speech below which a window has no embedding.
MIN_SPEECH_S = 0.1
# A pause of so many hops begins the windows anew: whoever speaks after it may be somebody else.
PAUSE_HOPS = 3
# A hop whose mean speech probability is lower belongs to a pause.
PAUSE_SPEECH = 0.3


@dataclass(frozen=True, eq=False, slots=True)
class HopSums:
    """What the pooling needs of one hop."""

    start: int  # first sample of the hop, at 16 kHz
    sums: NDArray[np.float64]  # (1 + 2 * pooled,): weights, weighted activations, weighted squares, summed over steps
    speech: float  # mean probability of speech, in [0, 1]


class FrameLayers:
    """A stage: `Frames` in, `HopSums` out, one per hop of 100 ms.

    Args:
        weights: the network.
    """

    def __init__(self, weights: Weights) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._frames = int(weights.network["hop_frames"])
        self._stride = int(weights.network["stride"])
        # One thread: two threads for 0.1 ms of work only wait for each other.
        with quiet_stderr():
            self._step = Interpreter(str(weights.folder / "step.tflite"), num_threads=1).get_signature_runner()
            inputs = {name: np.zeros(d["shape"], np.float32) for name, d in self._step.get_input_details().items()}
            self._step(**inputs)  # the first run sets itself up, and says so
        self._state = {name: zeros for name, zeros in inputs.items() if name.startswith("state_")}
        self._mfcc = np.empty((0, weights.mfcc.n_mfcc), np.float32)  # rows that do not fill a hop yet
        self._speech = np.empty(0, np.float32)
        self._next: int | None = None  # first sample of the next hop

    @property
    def latency_samples(self) -> int:
        """Samples that a hop waits for."""
        return HOP_SAMPLES

    def push(self, frames: Frames) -> list[HopSums]:
        """The hops that are complete now."""
        if self._next is None:
            self._next = frames.start
        self._mfcc = np.concatenate([self._mfcc, frames.mfcc])
        self._speech = np.concatenate([self._speech, frames.speech])
        n, ready = self._frames, len(self._mfcc) // self._frames
        hops = [self._hop(self._mfcc[i * n : i * n + n], self._speech[i * n : i * n + n]) for i in range(ready)]
        self._mfcc, self._speech = self._mfcc[ready * n :].copy(), self._speech[ready * n :].copy()
        return hops

    def flush(self) -> list[HopSums]:
        """The last, incomplete hop: the whole steps that it has, nothing if it has none."""
        n = len(self._mfcc) // self._stride * self._stride
        if n == 0:
            return []
        # Rows to the right change nothing to the left of them, and without speech they are not pooled.
        mfcc = np.pad(self._mfcc[:n], ((0, self._frames - n), (0, 0)))
        speech = np.pad(self._speech[:n], (0, self._frames - n))
        self._mfcc, self._speech = self._mfcc[:0], self._speech[:0]
        return [self._hop(mfcc, speech)]

    def _hop(self, mfcc: NDArray[np.float32], speech: NDArray[np.float32]) -> HopSums:
        out = self._step(mfcc=mfcc[None], speech=speech[None], **self._state)
        self._state = {name: out[name] for name in self._state}
        sums = np.concatenate([out["weight"][0], out["first"][0], out["second"][0]]).astype(np.float64)
        start = self._next or 0
        self._next = start + HOP_SAMPLES
        return HopSums(start, sums, float(speech.mean()))


class Pooling:
    """A stage: `HopSums` in, `Embedding` out, one row per window that ends with the hop.

    A window reaches back at most to the last pause of 0.3 s. Its cost does not depend on what it spans.

    Args:
        weights: the network.
    """

    def __init__(self, weights: Weights) -> None:
        self._kernel, self._bias = weights.dense
        self._pooled = len(self._kernel) // 2
        self._step_s = int(weights.network["stride"]) * weights.mfcc.hop_length / SAMPLE_RATE
        self._sums = np.zeros((max(WINDOW_HOPS), 1 + 2 * self._pooled))  # of the last hops, newest first
        self._fresh = 0  # hops since the last pause
        self._pause = 0  # quiet hops in a row

    latency_samples = 0
    """Nothing waits here."""

    @property
    def size(self) -> int:
        """Values of an embedding."""
        return len(self._bias)

    def push(self, hop: HopSums) -> list[Embedding]:
        """One record."""
        # Moved down by one: a copy of 40 rows is cheaper than a ring is clear.
        self._sums[1:] = self._sums[:-1]
        self._sums[0] = hop.sums
        self._pause = self._pause + 1 if hop.speech < PAUSE_SPEECH else 0
        self._fresh = 1 if self._pause >= PAUSE_HOPS else self._fresh + 1
        # A longer window is a shorter one and what is before it.
        ends = [min(hops, self._fresh) for hops in WINDOW_HOPS]
        parts = [self._sums[near:far].sum(axis=0) for near, far in zip([0, *ends], ends, strict=False)]
        vectors, seconds = self.embed(np.cumsum(parts, axis=0))
        return [Embedding(hop.start, vectors, seconds, hop.speech)]

    def flush(self) -> list[Embedding]:
        """Nothing is held back."""
        return []

    def embed(self, sums: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings of sums over any hops.

        Args:
            sums: (n, 1 + 2 * pooled).

        Returns:
            (n, d) vectors of unit length, zeros where there is less than 0.1 s of speech, and (n,) the
            seconds of speech behind each.
        """
        weight = np.maximum(sums[:, :1], WEIGHT_FLOOR)
        mean = sums[:, 1 : 1 + self._pooled] / weight
        variance = sums[:, 1 + self._pooled :] / weight - mean * mean
        pooled = np.concatenate([mean, np.sqrt(np.maximum(variance, 0.0) + VARIANCE_FLOOR)], axis=1)
        values = pooled.astype(np.float32) @ self._kernel + self._bias
        vectors: NDArray[np.float32] = values / np.linalg.norm(values, axis=1, keepdims=True)
        seconds = (sums[:, 0] * self._step_s).astype(np.float32)
        vectors[seconds < MIN_SPEECH_S] = 0.0
        return vectors, seconds


class StreamingEncoder:
    """A stage: `Frames` in, `Embedding` out, one per hop of 100 ms: the frame layers, then the pooling."""

    def __init__(self, weights: Weights) -> None:
        self._layers, self._pooling = FrameLayers(weights), Pooling(weights)

    @property
    def latency_samples(self) -> int:
        """Samples that a hop waits for."""
        return self._layers.latency_samples + self._pooling.latency_samples

    def push(self, frames: Frames) -> list[Embedding]:
        """The hops that are complete now."""
        return [embedding for hop in self._layers.push(frames) for embedding in self._pooling.push(hop)]

    def flush(self) -> list[Embedding]:
        """The last, incomplete hop."""
        return [embedding for hop in self._layers.flush() for embedding in self._pooling.push(hop)]


class Encoder:
    """The network as programs use it.

    >>> encoder = Encoder.load()
    >>> encoder.embed(np.zeros(16_000, np.float32), sample_rate=16_000)
    Traceback (most recent call last):
        ...
    stream.errors.EnrolmentError: expected speech, heard none in 1.0 s; speak closer or raise the input level
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> "Encoder":
        """The encoder in a folder of weights, the shipped one unless told.

        Raises:
            WeightsError: the weights are missing, damaged or of another format.
        """
        return cls(load_weights_folder(folder))

    @property
    def size(self) -> int:
        """Values of an embedding."""
        return len(self.weights.dense[1])

    def features(self) -> Features:
        """A fresh feature stage."""
        return Features(self.weights.mfcc, self.weights.mel)

    def stream(self) -> StreamingEncoder:
        """A fresh encoder stage."""
        return StreamingEncoder(self.weights)

    def hops(self, samples: NDArray[np.floating], *, sample_rate: int) -> list[HopSums]:
        """The pooling sums of a whole recording, from which any part of it can be embedded.

        Args:
            samples: (n,) mono, full scale is [-1, 1].
            sample_rate: samples per second.

        Raises:
            UsageError: the rate is out of range.
        """
        resampler, features, layers = Resampler(sample_rate), self.features(), FrameLayers(self.weights)
        block = Block(0, np.asarray(samples, np.float32), sample_rate)
        sound = [*resampler.push(block), *resampler.flush()]
        frames = [f for s in sound for f in features.push(s)] + features.flush()
        return [hop for f in frames for hop in layers.push(f)] + layers.flush()

    def embed(self, samples: NDArray[np.floating], *, sample_rate: int) -> NDArray[np.float32]:
        """One embedding of all the speech in a recording.

        Args:
            samples: (n,) mono, full scale is [-1, 1].
            sample_rate: samples per second.

        Returns:
            (d,) float32 of unit length. The cosine of two says how alike the voices are.

        Raises:
            EnrolmentError: there is no speech in it.
            UsageError: the rate is out of range.
        """
        hops = self.hops(samples, sample_rate=sample_rate)
        nothing = np.zeros(1 + len(self.weights.dense[0]))
        vectors, seconds = Pooling(self.weights).embed(sum((hop.sums for hop in hops), nothing)[None])
        if seconds[0] < MIN_SPEECH_S:
            raise EnrolmentError(
                f"expected speech, heard none in {len(samples) / sample_rate:.1f} s; "
                "speak closer or raise the input level"
            )
        vector: NDArray[np.float32] = vectors[0]
        return vector
