"""From scores to turns: who, from when to when, tentative first, then final.

What is heard is covered with windows laid end to end, each with one voice: an enrolled person's or "unknown". The most
probable cover is found by dynamic programming, as Viterbi (1967) does it hop by hop, and followed back from the newest
hop; what lies `lag_hops` behind is decided for good. So a window speaks of its own hops alone: what was said before a
change says nothing about who spoke after it, and nothing is counted twice. Silence is no voice: it carries no evidence,
needs no window, and makes a change likelier.
"""

import copy
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.clock import HOP_SAMPLES
from stream.errors import UsageError
from stream.records import Scores, Turn

__all__ = ["Decide", "DecisionConfig"]


@dataclass(frozen=True, slots=True)
class DecisionConfig:
    """How scores become turns. Tuned on conversations simulated from dev voices."""

    window_hops: tuple[int, ...] = (5, 10, 20, 40)  # that the rows of `Scores.llr` span, ascending
    evidence: tuple[float, ...] = (3.0, 6.0, 0.0, 0.0)  # weight of each row's evidence; 0 leaves a window out
    change_speech: float = 0.03  # probability that another voice takes over at a hop of speech
    change_pause: float = 0.03  # the same at a hop of silence
    unknown_prior: float = 0.65  # probability that a turn, heard as a whole, is nobody's who is known
    unknown_guess: float = 0.15  # the same for whoever takes over, while a name is but a guess
    speech: float = 0.5  # a hop with at least this mean probability is speech
    fresh_hops: int = 3  # so many hops of silence are a pause, after which windows begin anew
    pause_hops: int = 7  # a longer silence ends a turn
    min_speech_hops: int = 4  # a turn with less speech is dropped: noises are as short
    lag_hops: int = 9  # hops after which a decision is final

    def __post_init__(self) -> None:
        chances = (self.change_speech, self.change_pause, self.unknown_prior, self.unknown_guess)
        if not all(0 < chance < 1 for chance in chances):
            raise UsageError(
                f"expected probabilities between 0 and 1, got {', '.join(map(str, chances))}; "
                "leave them at their defaults"
            )
        if self.lag_hops < 1:
            raise UsageError(f"expected a lag of at least 1 hop, got {self.lag_hops}; leave it at its default")
        if len(self.evidence) != len(self.window_hops) or not any(weight > 0 for weight in self.evidence):
            raise UsageError(
                f"expected a weight for each of {len(self.window_hops)} windows and one above 0, got {self.evidence}; "
                "leave them at their defaults"
            )


_ONE_HOP = np.array([1])


@dataclass(frozen=True, eq=False, slots=True)
class _Hop:
    """One hop, not decided: how the best cover that ends there with each voice goes back."""

    scores: Scores
    speaking: bool
    hops: NDArray[np.intp]  # (windows,) that the last window may span
    best: NDArray[np.intp]  # (windows,) the likeliest voice before it
    stays: NDArray[np.bool_]  # (windows, n) whether each voice rather goes on than takes over from that one
    row: NDArray[np.intp]  # (n,) which window

    def back(self, voice: int) -> tuple[int, int]:
        """Hops of the last window of a voice, and the voice before it."""
        row = self.row.item(voice)
        return self.hops.item(row), voice if self.stays.item(row, voice) else self.best.item(row)


class _OpenTurn:
    """Joins hops into a turn until another voice or a long pause ends it."""

    def __init__(self, first: _Hop, voice: int, config: DecisionConfig) -> None:
        self.name, self.start = first.scores.names[voice], first.scores.start
        self._config = config
        self._end = self.start
        self._speech = 0
        self._named = 0.0  # sum of the name's probabilities over the hops of speech, by the longest window of each
        self.takes(first, voice)

    def takes(self, hop: _Hop, voice: int) -> bool:
        """Join the next hop, unless that ends the turn."""
        scores = hop.scores
        if not hop.speaking:
            return scores.start - self._end < self._config.pause_hops * HOP_SAMPLES
        if scores.names[voice] != self.name:
            return False
        self._end = scores.start + HOP_SAMPLES
        self._named += scores.probabilities.item(voice)
        self._speech += 1
        return True

    @property
    def long_enough(self) -> bool:
        return self._speech >= self._config.min_speech_hops

    def turn(self, *, final: bool) -> list[Turn]:
        """The turn as it is, or nothing when it is too short to be one."""
        if not self.long_enough:
            return []
        return [Turn(self.start, self._end, self.name, min(1.0, self._named / self._speech), final)]


class Decide:
    """A stage: `Scores` in, `Turn` out.

    A tentative turn comes when a voice appears, and again when its name or start changes; a final turn
    comes once, when it is over and decided, and is never changed.
    """

    def __init__(self, config: DecisionConfig | None = None) -> None:
        self.config = config or DecisionConfig()
        (self._used,) = np.nonzero(np.array(self.config.evidence))
        self._hops = np.array(self.config.window_hops)[self._used]
        # Log probability that a voice goes on, and that another one takes over, at a hop of silence and of speech.
        changes = np.array([self.config.change_pause, self.config.change_speech])
        self._stay, self._change = np.log1p(-changes), np.log(changes)
        self._weights = np.array(self.config.evidence)[self._used, None]
        self.current: Turn | None = None  # who speaks now; `final` says that the name is settled
        # Log probability of the best cover up to each of the last hops that ends with each voice, the newest last.
        self._belief: NDArray[np.float64] | None = None
        self._quiet = self._fresh = 0  # hops of silence in a row; hops since the last pause
        self._waiting: deque[_Hop] = deque()  # hops that are not decided
        self._open: _OpenTurn | None = None
        self._told: tuple[int, str] | None = None  # the tentative turn that was given out last

    @property
    def latency_samples(self) -> int:
        """Samples until a decision is final."""
        return self.config.lag_hops * HOP_SAMPLES

    def push(self, scores: Scores) -> list[Turn]:
        """The turns that this hop makes final, then the tentative one that it changes."""
        self._step(scores)
        path, turns = self._path(), []
        if len(path) > self.config.lag_hops:
            turns = self._decide(*path.pop(0))
            self._waiting.popleft()
        return turns + self._tell(path)

    def flush(self) -> list[Turn]:
        """The rest, decided with what there is."""
        turns = [turn for hop, voice in self._path() for turn in self._decide(hop, voice)]
        self._waiting.clear()
        turns += self._close()
        self.current = None
        return turns

    def _step(self, scores: Scores) -> None:
        config, n = self.config, len(scores.names)
        if self._belief is None:
            prior = np.log(_prior(n, config.unknown_guess))
            self._switch = self._change[:, None] + prior
            self._belief = np.tile(prior, (self._hops[-1], 1))
        speaking = scores.speech >= config.speech
        self._quiet = 0 if speaking else self._quiet + 1
        self._fresh = 0 if self._quiet >= config.fresh_hops else self._fresh + 1
        hops, evidence = self._windows(scores.llr) if speaking else (_ONE_HOP, 0.0)
        # Of every window (rows) and voice: the best cover before it goes on, or the best of all gives way to another.
        before = self._belief[-hops]
        stay = before + self._stay[int(speaking)]
        switch = before.max(axis=1, keepdims=True) + self._switch[int(speaking)]
        total = np.maximum(stay, switch) + evidence
        belief = total.max(axis=0)
        self._waiting.append(_Hop(scores, speaking, hops, before.argmax(axis=1), stay >= switch, total.argmax(axis=0)))
        # Only differences matter, and days of logarithms do not fit.
        self._belief = np.concatenate([self._belief[1:], belief[None]]) - belief.max()

    def _windows(self, llr: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
        # Hops and evidence of the windows that fit between the last pause, where they begin anew, and this hop; the
        # shortest in any case.
        fitting = max(1, int(np.searchsorted(self._hops, self._fresh, side="right")))
        evidence = self._weights[:fitting] * llr[self._used[:fitting]]
        return np.minimum(self._hops[:fitting], self._fresh), evidence

    def _path(self) -> list[tuple[_Hop, int]]:
        """The waiting hops and their voices along the best cover, oldest first."""
        if self._belief is None:
            return []
        voice = before = int(self._belief[-1].argmax())
        path, left = [], 0
        for hop in reversed(self._waiting):
            if left == 0:  # here a window ends
                voice = before
                left, before = hop.back(voice)
            left -= 1
            path.append((hop, voice))
        return path[::-1]

    def _decide(self, hop: _Hop, voice: int) -> list[Turn]:
        closed = self._close() if self._open and not self._open.takes(hop, voice) else []
        if self._open is None and hop.speaking:
            self._open = _OpenTurn(hop, voice, self.config)
        return closed

    def _close(self) -> list[Turn]:
        closed = self._open.turn(final=True) if self._open else []
        self._open = None
        return closed

    def _tell(self, path: list[tuple[_Hop, int]]) -> list[Turn]:
        """Bring `current` up to date with the hops that are not decided; a tentative turn when it is news."""
        # What is decided of it will not be dropped, and keeps its name.
        settled = self._open is not None and self._open.long_enough
        run = copy.copy(self._open)
        for hop, voice in path:
            if run and not run.takes(hop, voice):
                run, settled = None, False
            if run is None and hop.speaking:
                run = _OpenTurn(hop, voice, self.config)
        guess = run.turn(final=settled) if run else []
        self.current = guess[0] if guess else None
        if self.current is None or self.current.final or (self.current.start, self.current.name) == self._told:
            return []
        self._told = (self.current.start, self.current.name)
        return guess


def _prior(n: int, unknown: float) -> NDArray[np.float64]:
    # Of n states, the last is UNKNOWN; the people share the rest.
    return np.append(np.full(n - 1, (1.0 - unknown) / max(1, n - 1)), unknown if n > 1 else 1.0)
