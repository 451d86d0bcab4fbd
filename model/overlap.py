"""Two people at once: the last stage, which marks the turns in which that is so.

What the pooling of half a second holds (the mean and the deviation of every channel, and the gates) goes through a
logistic regression. It was taught on mixtures of two training speakers by `examples/teach_overlap.py`, belongs to one
network, and lies beside it. Noise and some voices sound like two all the time: what counts is how far half a second
stands out of the last half minute of speech. Only what stands out far is told, since most of a conversation is no
overlap, and a mark that is mostly wrong would be worse than none. People talk over each other mostly where one takes
over from the other: there less is enough, unless somebody falls silent, and the second voice is the other one's. Where
nobody takes over, somebody who is enrolled is the second where a second of the turn is surely theirs.

Area under the curve on half seconds of dev speakers, mixed and spoilt as in the teaching: 0.907. On 64 conversations
(see `model/simulate.py`) of the half that these settings were not chosen on, 88 of 193 times when two spoke at once for
0.3 s or more were marked, 108 of 151 marked turns had two voices, and 53 of 70 second names were right; on the other
half, when they were chosen, 80 of 182, 105 of 135 and 46 of 58. In an hour without speech no turn was marked.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from model.encoder import WEIGHT_FLOOR, WINDOW_HOPS, Pooling, mean_and_variance
from model.head import Head
from model.scoring import judge_of
from model.voices import Voice
from model.weights import Weights
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.records import Embedding, Turn

__all__ = ["OverlapConfig", "Overlaps", "features"]

HEARD_HOPS = 5
"""Hops that are heard together."""

MIDDLE = HEARD_HOPS // 2 * HOP_SAMPLES
"""Samples from the start of the middle one of them to that of the last."""

SECOND = WINDOW_HOPS.index(SAMPLE_RATE // HOP_SAMPLES)
"""The row of an embedding that spans a second."""

SHOWN = 2 * SAMPLE_RATE
"""Samples for which the turn that goes on stays marked."""


@dataclass(frozen=True, slots=True)
class OverlapConfig:
    """When two people speak at once."""

    over: float = 4.0  # natural log-odds above what is usual, from which half a second holds two voices
    least: float = 2.0  # log-odds at least: where all is quiet and clear, little is unusual
    change: float = 2.25  # by which both may be less around a change of voice without a pause
    change_hops: int = 7  # of either turn, that are around it
    pause_hops: int = 2  # between the two voices there, at most
    unbroken: float = 0.7  # mean probability of speech of each hop of the half second, from which that is so
    usual: float = 0.9  # the quantile of the last log-odds that is usual: noise and some voices raise them all
    usual_hops: int = 300  # of speech, that tell what is usual
    enough_hops: int = 30  # of them, below which nothing is marked
    speech: float = 0.5  # mean probability from which a hop is speech
    named: float = 2.0  # natural-log likelihood ratio from which a second voice that takes nothing over has its name
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
        people: who is enrolled.
        weights: the network, and what was taught on it; of weights without that, no turn is marked.
        head: what fine-tuning learned of some of them.
        config: when two people speak at once.
    """

    def __init__(
        self, people: Sequence[Voice], weights: Weights, head: Head | None = None, config: OverlapConfig | None = None
    ) -> None:
        self.config = config or OverlapConfig()
        self._names = [voice.name for voice in people]
        self._judge = judge_of(people, weights, head) if people else None
        self._taught, self._gates = weights.overlap(), int(weights.network["gates"])
        self._last = np.zeros((HEARD_HOPS, Pooling(weights).n_sums), np.float32)  # sums of single hops, a ring
        self._speech = np.zeros(HEARD_HOPS)  # theirs, likewise
        self._hops = 0
        self._two: deque[float] = deque(maxlen=2)  # log-odds of the last two half seconds that end with speech
        self._usual: deque[float] = deque(maxlen=self.config.usual_hops)  # their means
        # Of the half seconds that stand out, the middle hop's start and how much is left over; less than 0 is enough
        # around a change.
        self._out: deque[tuple[int, float]] = deque(maxlen=self.config.memory_hops)
        # Starts of the seconds that end with one that is enough anywhere, who is surely heard there, and how surely.
        self._clear: deque[tuple[int, float, str]] = deque(maxlen=self.config.memory_hops)
        self._before: Turn | None = None  # the last final turn
        self.current: Turn | None = None  # who speaks now

    def push(self, embedding: Embedding, turns: Sequence[Turn], current: Turn | None) -> list[Turn]:
        """The turns, marked.

        Args:
            embedding: one hop, with its sums.
            turns: what was decided with this hop.
            current: who speaks now.
        """
        at = self._hops % HEARD_HOPS
        self._last[at], self._speech[at] = 0.0 if embedding.sums is None else embedding.sums, embedding.speech
        self._hops += 1
        enough = -self.config.change if self._speech.min() >= self.config.unbroken else 0.0
        if embedding.speech >= self.config.speech and (over := self._over()) >= enough:
            self._out.append((embedding.start - MIDDLE, over))
            if over >= 0:
                start = embedding.start + HOP_SAMPLES - SAMPLE_RATE
                self._clear += [(start, *each) for each in self._heard(embedding) if each[0] >= self.config.named]
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
        since, near = max(since, turn.start), self.config.change_hops * HOP_SAMPLES
        overlap, second = self._most(since, turn.end) >= 0, None
        for first, then, start, end in (
            (self._before, turn, turn.start, turn.start + near),
            (turn, after, turn.end - near, turn.end),
        ):
            if not (first and then and self._takes_over(first, then)):
                continue
            if self._most(max(since, start), min(end, turn.end)) >= -self.config.change:
                other = then if first is turn else first
                overlap, second = True, second or (other.name if other.name in self._names else None)
        second = second or self._within(turn, since)
        return replace(turn, overlap=overlap, second=second) if overlap or second else turn

    def _within(self, turn: Turn, since: int) -> str | None:
        # Who else is surely heard in a second that holds nothing but the turn.
        recent = takewhile(lambda clear: clear[0] >= since, reversed(self._clear))
        inside = [(llr, name) for start, llr, name in recent if start + SAMPLE_RATE <= turn.end and name != turn.name]
        return max(inside)[1] if inside else None

    def _takes_over(self, first: Turn, then: Turn) -> bool:
        return first.name != then.name and 0 <= then.start - first.end <= self.config.pause_hops * HOP_SAMPLES

    def _most(self, start: int, end: int) -> float:
        # How much is left over of the half seconds whose middle lies between two samples.
        most = -np.inf
        for at, over in reversed(self._out):
            if at < start:
                break
            if at < end:
                most = max(most, over)
        return most

    def _heard(self, embedding: Embedding) -> list[tuple[float, str]]:
        # How surely everybody is heard in the last second.
        if self._judge is None:
            return []
        (llr,) = self._judge.llr(embedding.vectors[SECOND, None], embedding.speech_s[SECOND, None]).tolist()
        return list(zip(llr, self._names, strict=True))

    def _over(self) -> float:
        # How much the log-odds of this half second, and the one before it, are over what is asked for.
        if self._taught is None:
            return -np.inf
        kernel, bias = self._taught
        self._two.append(float(features(self._last.sum(axis=0)[None], self._gates)[0] @ kernel) + bias)
        log_odds = sum(self._two) / len(self._two)
        self._usual.append(log_odds)
        over = log_odds - self.config.least
        if over < -self.config.change or len(self._usual) < self.config.enough_hops:
            return -np.inf
        return min(over, log_odds - float(np.quantile(self._usual, self.config.usual)) - self.config.over)
