"""MFCC and voice activity side by side: one row and one speech probability per 10 ms."""

import numpy as np
from numpy.typing import NDArray

from stream.mfcc import Mfcc, MfccConfig
from stream.records import Block, Frames
from stream.vad import Vad

__all__ = ["Features"]


class Features:
    """A stage: `Block` at 16 kHz in, `Frames` out.

    The two detectors tick differently (10 ms and 32 ms). A row takes the probability of the chunk that
    holds its middle, so it may wait for that chunk to fill after its own samples are in.

    Args:
        config: the feature settings.
        filter_bank: (n_mels, n_fft // 2 + 1) float.
    """

    def __init__(self, config: MfccConfig, filter_bank: NDArray[np.floating]) -> None:
        self._mfcc = Mfcc(config, filter_bank)
        self._vad = Vad()
        self._rows = np.empty((0, config.n_mfcc), np.float32)  # rows that wait for their probability
        self._speech = np.empty(0, np.float32)  # probabilities that wait for their row
        self._last = np.float32(0.0)  # the newest probability
        self._chunks = 0  # chunks judged so far
        self._next: int | None = None  # first sample of the next row

    @property
    def latency_samples(self) -> int:
        """Samples beyond its own hop that a row may wait for."""
        config = self._mfcc.config
        # The chunk that holds a row's middle ends at most a chunk after it.
        return max(self._mfcc.latency_samples, config.n_fft // 2 + self._vad.latency_samples - config.hop_length)

    def push(self, block: Block) -> list[Frames]:
        """The rows that are ready now."""
        if self._next is None:
            self._next = block.start
        self._rows = np.concatenate([self._rows, *(rows.mfcc for rows in self._mfcc.push(block))])
        for activity in self._vad.push(block):
            edges = self._first_row(self._chunks + np.arange(len(activity.speech) + 1))
            self._speech = np.concatenate([self._speech, np.repeat(activity.speech, np.diff(edges))])
            self._last = activity.speech[-1]
            self._chunks += len(activity.speech)
        return self._give(min(len(self._rows), len(self._speech)))

    def flush(self) -> list[Frames]:
        """The last rows, whose chunk never filled: they take the newest probability."""
        missing = max(0, len(self._rows) - len(self._speech))
        self._speech = np.concatenate([self._speech, np.full(missing, self._last)])
        return self._give(len(self._rows))

    def _first_row(self, chunk: NDArray[np.int64]) -> NDArray[np.int64]:
        # The first row whose middle, row * hop + n_fft / 2, is not before the chunk begins.
        config = self._mfcc.config
        ahead = chunk * self._vad.chunk_samples - config.n_fft // 2
        return np.maximum(0, -(-ahead // config.hop_length))

    def _give(self, n: int) -> list[Frames]:
        if n == 0 or self._next is None:
            return []
        frames = Frames(self._next, self._rows[:n].copy(), self._speech[:n].copy())
        self._rows, self._speech = self._rows[n:].copy(), self._speech[n:].copy()
        self._next += n * self._mfcc.config.hop_length
        return [frames]
