"""From scores to turns: who, from when to when, tentative first, then final.

A sticky hidden Markov model over the enrolled people and "unknown", decoded by Viterbi (1967) with a
fixed lag: the best path is followed back from the newest hop, and what lies `lag_hops` behind is
decided for good. Silence is no state of its own; it carries no evidence and makes a change likelier.
"""

import copy
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.clock import HOP_SAMPLES
from stream.errors import UsageError
from stream.records import UNKNOWN, Scores, Turn

__all__ = ["Decide", "DecisionConfig"]


@dataclass(frozen=True, slots=True)
class DecisionConfig:
    """How scores become turns. Tuned on conversations simulated from training and dev voices."""

    window_weights: tuple[float, ...] = (0.0, 0.5, 0.5, 0.0)  # share of each window's evidence in a hop's
    evidence: float = 0.2  # weight of a hop's evidence: windows overlap, so hops are not independent
    change_speech: float = 0.005  # probability that the speaker changes from one hop of speech to the next
    change_pause: float = 0.1  # the same across a hop of silence
    unknown_prior: float = 0.5  # probability that whoever takes the turn is nobody known
    short_hops: int = 10  # a turn with less speech must earn its name:
    short_probability: float = 0.5  # if it is less probable than this, it is given out as unknown
    speech: float = 0.5  # a hop with at least this mean probability is speech
    pause_hops: int = 5  # a longer silence ends a turn
    min_speech_hops: int = 3  # a turn with less speech is dropped: nobody says anything in 0.2 s
    lag_hops: int = 12  # hops after which a decision is final

    def __post_init__(self) -> None:
        chances = (self.change_speech, self.change_pause, self.unknown_prior)
        if not all(0 < chance < 1 for chance in chances):
            raise UsageError(
                f"expected probabilities between 0 and 1, got {', '.join(map(str, chances))}; "
                "leave them at their defaults"
            )
        if self.lag_hops < 1:
            raise UsageError(f"expected a lag of at least 1 hop, got {self.lag_hops}; leave it at its default")


@dataclass(frozen=True, slots=True)
class _Hop:
    """One hop, decided: whose it is if it is speech."""

    start: int
    speaking: bool
    name: str
    probability: float  # of the name, by this hop's longest window
    unknown: float  # probability of UNKNOWN, by the same


class _OpenTurn:
    """Joins hops into a turn until another voice or a long pause ends it."""

    def __init__(self, first: _Hop, config: DecisionConfig) -> None:
        self._name, self.start = first.name, first.start
        self._config = config
        self._end = first.start
        self._speech = 0
        self._named = self._unknown = 0.0  # sums of probabilities over the hops of speech
        self.add(first)

    def add(self, hop: _Hop) -> None:
        if not hop.speaking:
            return
        if hop.name != self._name:  # a weak name, taken in by the unknown voice that goes on
            self._name, self._named = UNKNOWN, self._unknown
        self._end = hop.start + HOP_SAMPLES
        self._named += hop.probability
        self._unknown += hop.unknown
        self._speech += 1

    @property
    def _weak(self) -> bool:
        config = self._config
        return (
            self._name != UNKNOWN
            and self._speech < config.short_hops
            and self._named < config.short_probability * self._speech
        )

    def ended_by(self, hop: _Hop) -> bool:
        if hop.speaking:
            return hop.name != self._name and not (hop.name == UNKNOWN and self._weak)
        return hop.start - self._end >= self._config.pause_hops * HOP_SAMPLES

    def turn(self, *, final: bool) -> list[Turn]:
        """The turn as it is, or nothing when it is too short to be one."""
        if self._speech < self._config.min_speech_hops:
            return []
        name, total = (UNKNOWN, self._unknown) if self._weak else (self._name, self._named)
        return [Turn(self.start, self._end, name, min(1.0, total / self._speech), final)]


class Decide:
    """A stage: `Scores` in, `Turn` out.

    A tentative turn comes when a voice appears, and again when its name or start changes; a final turn
    comes once, when it is over and decided, and is never changed.
    """

    def __init__(self, config: DecisionConfig | None = None) -> None:
        self.config = config or DecisionConfig()
        self.current: Turn | None = None  # who speaks now; `final` says that the name is settled
        self._belief: NDArray[np.float64] | None = None  # log probability of the best path to each state
        self._waiting: deque[tuple[Scores, NDArray[np.intp]]] = deque()  # hops not decided, and whence each state came
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
            turns = self._decide(path.pop(0))
            self._waiting.popleft()
        return turns + self._tell(path)

    def flush(self) -> list[Turn]:
        """The rest, decided with what there is."""
        turns = [turn for hop in self._path() for turn in self._decide(hop)]
        self._waiting.clear()
        turns += self._close()
        self.current = None
        return turns

    def _step(self, scores: Scores) -> None:
        config, n = self.config, len(scores.names)
        if self._belief is None:
            self._prior = np.log(_prior(n, config.unknown_prior))
            self._belief = self._prior
        speaking = scores.speech >= config.speech
        change = config.change_speech if speaking else config.change_pause
        stay = self._belief + np.log1p(-change)
        best = int(np.argmax(self._belief))
        switch = self._belief[best] + np.log(change) + self._prior
        origin = np.where(stay >= switch, np.arange(n), best)
        self._belief = np.maximum(stay, switch)
        if speaking:
            self._belief = self._belief + config.evidence * (np.asarray(config.window_weights) @ scores.llr)
        self._belief -= self._belief.max()  # only differences matter, and days of logarithms do not fit
        self._waiting.append((scores, origin))

    def _path(self) -> list[_Hop]:
        """The waiting hops along the best path, oldest first."""
        if self._belief is None:
            return []
        state = int(np.argmax(self._belief))
        hops = []
        for scores, origin in reversed(self._waiting):
            speaking = scores.speech >= self.config.speech
            probability = float(scores.probabilities[state])
            unknown = float(scores.probabilities[-1])
            hops.append(_Hop(scores.start, speaking, scores.names[state], probability, unknown))
            state = int(origin[state])
        return hops[::-1]

    def _decide(self, hop: _Hop) -> list[Turn]:
        closed = self._close() if self._open and self._open.ended_by(hop) else []
        if self._open:
            self._open.add(hop)
        elif hop.speaking:
            self._open = _OpenTurn(hop, self.config)
        return closed

    def _close(self) -> list[Turn]:
        closed = self._open.turn(final=True) if self._open else []
        self._open = None
        return closed

    def _tell(self, path: list[_Hop]) -> list[Turn]:
        """Bring `current` up to date with the hops that are not decided; a tentative turn when it is news."""
        run = copy.copy(self._open)
        settled = run is not None
        for hop in path:
            if run and run.ended_by(hop):
                run, settled = None, False
            if run:
                run.add(hop)
            elif hop.speaking:
                run = _OpenTurn(hop, self.config)
        guess = run.turn(final=settled) if run else []
        self.current = guess[0] if guess else None
        if self.current is None or self.current.final or (self.current.start, self.current.name) == self._told:
            return []
        self._told = (self.current.start, self.current.name)
        return guess


def _prior(n: int, unknown: float) -> NDArray[np.float64]:
    # Of n states, the last is UNKNOWN; the people share the rest.
    return np.append(np.full(n - 1, (1.0 - unknown) / max(1, n - 1)), unknown if n > 1 else 1.0)
