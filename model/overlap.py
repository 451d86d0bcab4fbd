"""Two people at once: the last stage, which marks the turns in which that is so.

What the pooling of half a second holds (the mean and the deviation of every channel, and the gates) goes through a
logistic regression. It was taught on mixtures of two training speakers by `examples/teach_overlap.py`, belongs to one
network, and lies beside it. Noise and some voices sound like two all the time: what counts is how far half a second
stands out of the last half minute of speech. Only what stands out far is told, since most of a conversation is no
overlap, and a mark that is mostly wrong would be worse than none. People talk over each other mostly where one takes
over from the other: there less is enough, and the second voice is the other one's, in both turns. The name is given
where that is somebody who is enrolled. Of any other second voice nothing tells whose it is.

Area under the curve on half seconds of dev speakers, mixed and spoilt as in the teaching: 0.900. On conversations (see
`model/simulate.py`) of the half that these settings were not chosen on, 22 of 48 times when two spoke at once for 0.3 s
or more were marked, 32 of 44 marked turns had two voices, and 16 of 21 second names were right. The settings were
chosen with the weights of 2026-11-24 (16 of 48, 19 of 38 and 10 of 17). In an hour without speech no turn was marked.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.encoder import WEIGHT_FLOOR, Pooling, mean_and_variance
from model.weights import Weights
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.records import UNKNOWN, Embedding, Turn, guest_number

__all__ = ["OverlapConfig", "Overlaps", "features"]

HEARD_HOPS = 5
"""Hops that are heard together."""

SHOWN = 2 * SAMPLE_RATE
"""Samples for which the turn that goes on stays marked."""


@dataclass(frozen=True, slots=True)
class OverlapConfig:
    """When two people speak at once."""

    over: float = 3.0  # natural log-odds above what is usual, from which half a second holds two voices
    least: float = 2.0  # log-odds at least: where all is quiet and clear, little is unusual
    change: float = 1.0  # by which both may be less around a change of voice without a pause
    change_hops: tuple[int, int] = (-5, 7)  # that are around it, from the first to one past the last
    pause_hops: int = 2  # between the two voices there, at most
    usual: float = 0.9  # the quantile of the last log-odds that is usual: noise and some voices raise them all
    usual_hops: int = 300  # of speech, that tell what is usual
    enough_hops: int = 30  # of them, below which nothing is marked
    speech: float = 0.5  # mean probability from which a hop is speech
    memory_hops: int = 3_000  # that stand out, that are remembered for turns that are not final


def features(sums: NDArray[np.floating], gates: int) -> NDArray[np.float32]:
    """(n, gates + 2 * pooled) the gates, then every channel's mean, then its deviation, of (n, n_sums) pooling sums.

    Args:
        sums: of any hops; see `Pooling`.
        gates: how many the network has.
    """
    found = mean_and_variance(sums, gates)
    found[:, 1] = np.sqrt(np.maximum(found[:, 1], 0.0))
    share = sums[:, 1 : 1 + gates] / np.maximum(sums[:, :1], WEIGHT_FLOOR)
    return np.concatenate([share, found.reshape(len(sums), -1)], axis=1, dtype=np.float32)


class Overlaps:
    """Marks the turns of one unbroken stretch of sound.

    Args:
        weights: the network, and what was taught on it; of weights without that, no turn is marked.
        config: when two people speak at once.
    """

    def __init__(self, weights: Weights, config: OverlapConfig | None = None) -> None:
        self.config = config or OverlapConfig()
        self._taught, self._gates = weights.overlap(), int(weights.network["gates"])
        self._last = np.zeros((HEARD_HOPS, Pooling(weights).n_sums), np.float32)  # sums of single hops, a ring
        self._hops = 0
        self._usual: deque[float] = deque(maxlen=self.config.usual_hops)  # log-odds of the last hops of speech
        # Starts of the hops that stand out, and how much is left over; less than 0 is enough around a change.
        self._out: deque[tuple[int, float]] = deque(maxlen=self.config.memory_hops)
        self._before: Turn | None = None  # the last final turn
        self.current: Turn | None = None  # who speaks now

    def push(self, embedding: Embedding, turns: Sequence[Turn], current: Turn | None) -> list[Turn]:
        """The turns, marked.

        Args:
            embedding: one hop, with its sums.
            turns: what was decided with this hop.
            current: who speaks now.
        """
        self._last[self._hops % HEARD_HOPS] = 0.0 if embedding.sums is None else embedding.sums
        self._hops += 1
        if embedding.speech >= self.config.speech and (over := self._over()) >= -self.config.change:
            self._out.append((embedding.start, over))
        out = self.flush(turns, current)
        self.current = current and self._marked(current, None, since=embedding.start - SHOWN)
        return out

    def flush(self, turns: Sequence[Turn], current: Turn | None = None) -> list[Turn]:
        """The rest, marked.

        Args:
            turns: the rest.
            current: who speaks after them.
        """
        self.current, out = None, []
        for turn, after in zip(turns, [*turns[1:], current], strict=False):
            out.append(self._marked(turn, after))
            if turn.final:
                self._before = turn
        return out

    def _marked(self, turn: Turn, after: Turn | None, since: int = 0) -> Turn:
        overlap, second = self._most(max(since, turn.start), turn.end) >= 0, None
        for first, then in ((self._before, turn), (turn, after)):
            if first and then and self._both_at_change(first, then, since):
                other = then if first is turn else first
                known = other.name != UNKNOWN and guest_number(other.name) is None
                overlap, second = True, second or (other.name if known else None)
        return replace(turn, overlap=overlap, second=second)

    def _both_at_change(self, first: Turn, then: Turn, since: int) -> bool:
        # Whether two voices were heard where one person takes over from another without a pause.
        if first.name == then.name or not 0 <= then.start - first.end <= self.config.pause_hops * HOP_SAMPLES:
            return False
        start, end = (then.start + hops * HOP_SAMPLES for hops in self.config.change_hops)
        return self._most(max(since, start), end) >= -self.config.change

    def _most(self, start: int, end: int) -> float:
        # How much is left over of what ends with the hops between two samples.
        most = -np.inf
        for at, over in reversed(self._out):
            if at < start:
                break
            if at < end:
                most = max(most, over)
        return most

    def _over(self) -> float:
        # How much the log-odds of this hop are over what is asked for.
        if self._taught is None:
            return -np.inf
        kernel, bias = self._taught
        log_odds = float(features(self._last.sum(axis=0)[None], self._gates)[0] @ kernel) + bias
        self._usual.append(log_odds)
        over = log_odds - self.config.least
        if over < -self.config.change or len(self._usual) < self.config.enough_hops:
            return -np.inf
        return min(over, log_odds - float(np.quantile(self._usual, self.config.usual)) - self.config.over)
