"""Two people at once: the last stage, which marks the turns in which that is so.

What the pooling of half a second holds (the mean and the deviation of every channel, and the gates) goes through a
logistic regression. It was taught on mixtures of two training speakers by `examples/teach_overlap.py`, belongs to one
network, and lies beside it. Noise and some voices sound like two all the time: what counts is how far half a second
stands out of the last half minute of speech. Only what stands out far is told, since most of a conversation is no
overlap, and a mark that is mostly wrong would be worse than none. Whose the second voice is, it does not know.

Area under the curve on half seconds of dev speakers, mixed and spoilt as in the teaching: 0.895. On conversations (see
`model/simulate.py`) of the half that these settings were chosen on, 9 of 41 times when two spoke at once for 0.3 s or
more were marked, and 9 of 13 marked turns had two voices; on the other half 7 of 48, and 7 of 11. In half an hour
without speech, of either half, no turn was marked.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.encoder import WEIGHT_FLOOR, Pooling
from model.weights import Weights
from stream.clock import HOP_SAMPLES
from stream.records import Embedding, Turn

__all__ = ["OverlapConfig", "Overlaps", "features"]

HEARD_HOPS = 5
"""Hops that are heard together."""


@dataclass(frozen=True, slots=True)
class OverlapConfig:
    """When two people speak at once."""

    over: float = 3.0  # natural log-odds above what is usual, from which half a second holds two voices
    least: float = 2.0  # log-odds at least: where all is quiet and clear, little is unusual
    usual: float = 0.9  # the quantile of the last log-odds that is usual: noise and some voices raise them all
    usual_hops: int = 300  # of speech, that tell what is usual
    enough_hops: int = 30  # of them, below which nothing is marked
    speech: float = 0.5  # mean probability from which a hop is speech
    memory_hops: int = 3_000  # in which two voices were heard, that are remembered for turns that are not final


def features(sums: NDArray[np.floating], gates: int) -> NDArray[np.float64]:
    """(n, gates + 2 * pooled) the gates, then every channel's mean, then its deviation, of (n, n_sums) pooling sums.

    Args:
        sums: of any hops; see `Pooling`.
        gates: how many the network has.
    """
    sums = np.asarray(sums, np.float64)
    weight = np.maximum(sums[:, 1 : 1 + gates], WEIGHT_FLOOR)
    mean, square = (sums[:, 1 + gates :].reshape(len(sums), 2, gates, -1) / weight[:, None, :, None]).swapaxes(0, 1)
    deviation = np.sqrt(np.maximum(square - np.square(mean), 0.0))
    share = sums[:, 1 : 1 + gates] / np.maximum(sums[:, :1], WEIGHT_FLOOR)
    return np.concatenate([share, mean.reshape(len(sums), -1), deviation.reshape(len(sums), -1)], axis=1)


class Overlaps:
    """Marks the turns of one unbroken stretch of sound.

    Args:
        weights: the network, and what was taught on it; of weights without that, no turn is marked.
        config: when two people speak at once.
    """

    def __init__(self, weights: Weights, config: OverlapConfig | None = None) -> None:
        self.config = config or OverlapConfig()
        self._taught, self._gates = weights.overlap(), int(weights.network["gates"])
        self._last = np.zeros((HEARD_HOPS, Pooling(weights).n_sums))  # sums of single hops, a ring
        self._hops = 0
        self._usual: deque[float] = deque(maxlen=self.config.usual_hops)  # log-odds of the last hops of speech
        self._both: deque[int] = deque(maxlen=self.config.memory_hops)  # starts of the hops that end two voices
        self.current: Turn | None = None  # who speaks now; marked while two do

    def push(self, embedding: Embedding, turns: Sequence[Turn], current: Turn | None) -> list[Turn]:
        """The turns, marked.

        Args:
            embedding: one hop, with its sums.
            turns: what was decided with this hop.
            current: who speaks now.
        """
        self._last[self._hops % HEARD_HOPS] = 0.0 if embedding.sums is None else embedding.sums
        self._hops += 1
        if embedding.speech >= self.config.speech and self._unusual():
            self._both.append(embedding.start)
        now = embedding.start - HEARD_HOPS * HOP_SAMPLES
        self.current = current and replace(current, overlap=any(at > now for at in self._both))
        return self.flush(turns, self.current)

    def flush(self, turns: Sequence[Turn], current: Turn | None = None) -> list[Turn]:
        """The rest, marked."""
        self.current = current
        return [replace(turn, overlap=any(turn.start <= at < turn.end for at in self._both)) for turn in turns]

    def _unusual(self) -> bool:
        if self._taught is None:
            return False
        kernel, bias = self._taught
        log_odds = float(features(self._last.sum(axis=0)[None], self._gates)[0] @ kernel) + bias
        self._usual.append(log_odds)
        if log_odds < self.config.least or len(self._usual) < self.config.enough_hops:
            return False
        return log_odds >= float(np.quantile(self._usual, self.config.usual)) + self.config.over
