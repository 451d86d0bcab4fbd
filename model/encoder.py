"""From frames to voice embeddings, hop by hop, on LiteRT.

    Frames -> FrameLayers -> HopSums -> Pooling -> Embedding

The frame layers keep their left context in tensors that go in and come out. The pooling needs three sums
per hop, so a window of any length is an addition; nothing is ever subtracted, so nothing drifts.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.weights import SHIPPED, Weights, load_weights_folder
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import EnrolmentError
from stream.mfcc import Mfcc
from stream.quiet import quiet_stderr
from stream.records import Block, Embedding, Frames
from stream.resample import Resampler

__all__ = [
    "WINDOW_HOPS",
    "Encoder",
    "FrameLayers",
    "HopSums",
    "Pooling",
    "SincePause",
    "Step",
    "StreamingEncoder",
    "add_up",
    "mean_and_variance",
    "moments",
]

WINDOW_HOPS = (5, 10, 20, 40)
"""Lengths of the windows that are embedded at every hop: 0.5, 1, 2 and 4 s."""

# Windows are this long, or twice, four times, ...
SHORTEST_HOPS = 5
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
    sums: NDArray[np.float64]  # (1 + gates + 2 * pooled,): speech, weights, channels, squares; see `build_step`
    speech: float  # mean probability of speech, in [0, 1]


def add_up(hops: Iterable[HopSums]) -> NDArray[np.float64]:
    """(1 + gates + 2 * pooled,) the sums over some hops, at least one, from which `Pooling.embed` embeds them."""
    total: NDArray[np.float64] = np.stack([hop.sums for hop in hops]).sum(axis=0, dtype=np.float64)
    return total


def mean_and_variance(sums: NDArray[np.floating], gates: int) -> NDArray[np.float32]:
    """(n, 2, pooled) of every channel the mean, then the variance, which rounding may leave a little below 0.

    Args:
        sums: (n, 1 + gates + 2 * pooled) over any hops.
        gates: how many the network has.
    """
    sums = sums.astype(np.float32, copy=False)  # only adding up many needs more
    n, weight = len(sums), np.maximum(sums[:, 1 : 1 + gates], WEIGHT_FLOOR)
    found: NDArray[np.float32] = sums[:, 1 + gates :].reshape(n, 2, gates, -1) / weight[:, None, :, None]
    found = found.reshape(n, 2, -1)
    found[:, 1] -= np.square(found[:, 0])
    return found


def moments(sums: NDArray[np.floating], gates: int) -> NDArray[np.float32]:
    """(n, 2 * pooled) what the last layer is given of sums: of every channel the mean, then the deviation."""
    found = mean_and_variance(sums, gates)
    found[:, 1] = np.sqrt(np.maximum(found[:, 1], 0.0) + VARIANCE_FLOOR)
    return found.reshape(len(sums), -1)


class Step:
    """The frame layers of one hop on LiteRT, which `build_step` describes: inputs and outputs by name.

    It remembers nothing between two calls, but one thread at a time may call it.

    Args:
        weights: the network.
    """

    def __init__(self, weights: Weights) -> None:
        from ai_edge_litert.interpreter import Interpreter

        # One thread: two threads for 0.1 ms of work only wait for each other.
        with quiet_stderr():
            self._interpreter = Interpreter(str(weights.folder / "step.tflite"), num_threads=1)
            self._interpreter.allocate_tensors()
            self._interpreter.invoke()  # the first run sets itself up, and says so
        # The signature says which tensor is which. Run by it, every hop would resize and allocate its inputs anew.
        signature = self._interpreter.get_signature_runner()
        self._inputs, self._outputs = signature.get_input_details(), signature.get_output_details()

    def __call__(self, **inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """All outputs, of all inputs."""
        for name, value in inputs.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], value)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(of["index"]) for name, of in self._outputs.items()}

    def zeros(self, name: str) -> NDArray[np.float32]:
        """An input, empty."""
        return np.zeros(self._inputs[name]["shape"], np.float32)


class FrameLayers:
    """A stage: `Frames` in, `HopSums` out, one per hop of 100 ms.

    Args:
        weights: the network.
        step: what computes a hop, its own unless told.
    """

    def __init__(self, weights: Weights, step: Step | None = None) -> None:
        self._frames = int(weights.network["hop_frames"])
        self._stride = int(weights.network["stride"])
        self._step = step or Step(weights)
        self._state = self._step.zeros("state")
        self._mfcc = np.empty((0, weights.mfcc.n_mfcc), np.float32)  # rows that do not fill a hop yet
        self._share = np.ones((1, self._frames), np.float32)  # all of a hop is pooled
        self._next: int | None = None  # first sample of the next hop

    @property
    def latency_samples(self) -> int:
        """Samples that a hop waits for."""
        return HOP_SAMPLES

    def push(self, rows: Frames) -> list[HopSums]:
        """The hops that are complete now."""
        if self._next is None:
            self._next = rows.start
        self._mfcc = np.concatenate([self._mfcc, rows.mfcc])
        n, ready = self._frames, len(self._mfcc) // self._frames
        hops = [self._hop(self._mfcc[i * n : i * n + n], self._share) for i in range(ready)]
        self._mfcc = self._mfcc[ready * n :].copy()
        return hops

    def flush(self) -> list[HopSums]:
        """The last, incomplete hop: the whole steps that it has, nothing if it has none."""
        n = len(self._mfcc) // self._stride * self._stride
        if n == 0:
            return []
        # Rows to the right change nothing to the left of them, and are not pooled.
        mfcc = np.pad(self._mfcc[:n], ((0, self._frames - n), (0, 0)))
        share = np.where(np.arange(self._frames) < n, self._share, np.float32(0))
        self._mfcc = self._mfcc[:0]
        return [self._hop(mfcc, share)]

    def _hop(self, mfcc: NDArray[np.float32], share: NDArray[np.float32]) -> HopSums:
        out = self._step(mfcc=mfcc[None], share=share, state=self._state)
        self._state = out["state"]
        start = self._next or 0
        self._next = start + HOP_SAMPLES
        sums = out["sums"][0].astype(np.float64)
        return HopSums(start, sums, float(sums[0]) * self._stride / self._frames)


class SincePause:
    """Counts how far a window may reach back."""

    def __init__(self) -> None:
        self._fresh = 0
        self._quiet = 0  # quiet hops in a row

    def push(self, speech: float) -> int:
        """Hops since the last pause, this one included, whose mean speech probability is given."""
        self._quiet = self._quiet + 1 if speech < PAUSE_SPEECH else 0
        self._fresh = 1 if self._quiet >= PAUSE_HOPS else self._fresh + 1
        return self._fresh


class Pooling:
    """A stage: `HopSums` in, `Embedding` out, one row per window that ends with the hop.

    A window reaches back at most to the last pause of 0.3 s. It is the sum of two windows of half its length, the later
    one of which is there already: one that is twice as long costs one addition more.

    Args:
        weights: the network.
        windows: their lengths in hops, ascending; each is 5 times a power of two.
        speech: mean probability of speech in a hop, below which its vectors are zeros: nobody asks for them.
    """

    def __init__(self, weights: Weights, windows: Sequence[int] = WINDOW_HOPS, speech: float = 0.0) -> None:
        self._speech = speech
        self._kernel, self._bias = weights.dense
        self._gates = int(weights.network["gates"])
        self._step_s = int(weights.network["stride"]) * weights.mfcc.hop_length / SAMPLE_RATE
        self._last = np.zeros((SHORTEST_HOPS, self.n_sums), np.float32)  # of single hops, a ring
        lengths = [SHORTEST_HOPS << i for i in range((windows[-1] // SHORTEST_HOPS).bit_length())]
        self._wanted = [lengths.index(hops) for hops in windows]
        # Sums over 5, 10, 20, ... hops, a ring for each: those that ended in the last so many hops.
        self._rings = [np.zeros((hops, self.n_sums), np.float32) for hops in lengths[:-1]]
        self._hops = 0
        self._since = SincePause()

    latency_samples = 0
    """Nothing waits here."""

    @property
    def size(self) -> int:
        """Values of an embedding."""
        return len(self._bias)

    @property
    def n_sums(self) -> int:
        """Numbers that the pooling needs of a hop."""
        return 1 + self._gates + len(self._kernel)

    def push(self, hop: HopSums) -> list[Embedding]:
        """One record."""
        fresh = self._since.push(hop.speech)
        if fresh == 1:  # no window reaches back beyond this hop
            self._last[:] = 0.0
        self._last[self._hops % SHORTEST_HOPS] = hop.sums
        total = self._last.sum(axis=0)
        sums = [total]
        for ring in self._rings:
            at = self._hops % len(ring)
            # What is there ended where `total` begins, or before the pause.
            both = total + ring[at] if fresh > len(ring) else total
            ring[at] = total
            sums.append(total := both)
        self._hops += 1
        wanted = np.array([sums[i] for i in self._wanted])
        if hop.speech >= self._speech:
            vectors, seconds = self.embed(wanted)
        else:
            vectors, seconds = np.zeros((len(wanted), self.size), np.float32), self._seconds(wanted)
        return [Embedding(hop.start, vectors, seconds, hop.speech, sums=hop.sums)]

    def flush(self) -> list[Embedding]:
        """Nothing is held back."""
        return []

    def embed(self, sums: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings of sums over any hops.

        Args:
            sums: (n, 1 + gates + 2 * pooled).

        Returns:
            (n, d) vectors of unit length, zeros where there is less than 0.1 s of speech, and (n,) the
            seconds of speech behind each.
        """
        seconds = self._seconds(sums)
        if (seconds < MIN_SPEECH_S).all():  # silence costs nothing
            return np.zeros((len(sums), self.size), np.float32), seconds
        values = moments(sums, self._gates) @ self._kernel + self._bias
        vectors: NDArray[np.float32] = values / np.sqrt(np.vecdot(values, values))[:, None]
        vectors[seconds < MIN_SPEECH_S] = 0.0
        return vectors, seconds

    def _seconds(self, sums: NDArray[np.floating]) -> NDArray[np.float32]:
        return sums[:, 0].astype(np.float32) * np.float32(self._step_s)


class StreamingEncoder:
    """A stage: `Frames` in, `Embedding` out, one per hop of 100 ms: the frame layers, then the pooling."""

    def __init__(self, layers: FrameLayers, pooling: Pooling) -> None:
        self._layers, self._pooling = layers, pooling

    @property
    def latency_samples(self) -> int:
        """Samples that a hop waits for."""
        return self._layers.latency_samples + self._pooling.latency_samples

    def push(self, rows: Frames) -> list[Embedding]:
        """The hops that are complete now."""
        return [embedding for hop in self._layers.push(rows) for embedding in self._pooling.push(hop)]

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
        self._opened = threading.local()  # what computes a hop of a recording, for each thread

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

    def mfcc(self) -> Mfcc:
        """A fresh feature stage."""
        return Mfcc(self.weights.mfcc, self.weights.mel)

    def stream(self, speech: float = 0.0) -> StreamingEncoder:
        """A fresh encoder stage; for `speech` see `Pooling`."""
        return StreamingEncoder(FrameLayers(self.weights), Pooling(self.weights, speech=speech))

    def hops(self, samples: NDArray[np.floating], *, sample_rate: int) -> list[HopSums]:
        """The pooling sums of a whole recording, from which any part of it can be embedded.

        Several threads may call it: LiteRT lets others run while it computes.

        Args:
            samples: (n,) mono, full scale is [-1, 1].
            sample_rate: samples per second.

        Raises:
            UsageError: the rate is out of range.
        """
        if not hasattr(self._opened, "step"):
            self._opened.step = Step(self.weights)  # opening it takes longer than a short recording
        resampler, mfcc, layers = Resampler(sample_rate), self.mfcc(), FrameLayers(self.weights, self._opened.step)
        block = Block(0, np.asarray(samples, np.float32), sample_rate)
        rows = [rows for sound in [*resampler.push(block), *resampler.flush()] for rows in mfcc.push(sound)]
        return [hop for some in rows for hop in layers.push(some)] + layers.flush()

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
        pooling = Pooling(self.weights)
        vectors, seconds = pooling.embed(sum((hop.sums for hop in hops), np.zeros(pooling.n_sums))[None])
        if seconds[0] < MIN_SPEECH_S:
            raise EnrolmentError(
                f"expected speech, heard none in {len(samples) / sample_rate:.1f} s; "
                "speak closer or raise the input level"
            )
        vector: NDArray[np.float32] = vectors[0]
        return vector
