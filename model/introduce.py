"""Turns of "unknown" in, turns of guests out: the stage after the decisions.

    Turn "unknown" -> its hops of speech -> one voice, or several one after the other -> Guests -> Turn

The decisions know one "unknown": two strangers who speak without a pause of half a second are one turn to them. So a
turn is divided first, where the 3 s before and the 3 s after are rather two voices than one. What was final before
stays as it was: nobody is renamed when a voice becomes a guest.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from model.encoder import Pooling
from model.guests import Guests, Named, sums_of
from model.scoring import Judge
from model.voices import Voice
from model.weights import Weights
from stream.clock import HOP_SAMPLES
from stream.errors import UsageError
from stream.records import UNKNOWN, Embedding, Turn

__all__ = ["Introduce", "IntroduceConfig"]


@dataclass(frozen=True, slots=True)
class IntroduceConfig:
    """How turns of unknown voices are heard. Lengths are hops of speech."""

    speech: float = 0.5  # mean probability from which a hop is speech
    memory_hops: int = 300  # kept: of a longer turn, the sound before is whoever comes first in them
    part_hops: int = 12  # of one voice, in a turn of several
    near_hops: int = 30  # before and after, that are compared
    other_llr: float = -2.0  # natural-log likelihood ratio, below which they are two voices
    guess_hops: int = 10  # before a guess is made, and
    guess_every: int = 5  # between two guesses

    def __post_init__(self) -> None:
        if not 0 < self.part_hops <= self.near_hops <= self.memory_hops or min(self.guess_hops, self.guess_every) < 1:
            raise UsageError(
                f"expected parts of at least 1 hop, no longer than what is compared and kept, got {self.part_hops}, "
                f"{self.near_hops} and {self.memory_hops}; leave them at their defaults"
            )


class Introduce:
    """Names the unknown turns of one unbroken stretch of sound by the guests of the session.

    Args:
        guests: of the session.
        people: who is enrolled now.
        weights: whose cohort and calibration to use.
        config: how turns are heard.
    """

    def __init__(
        self, guests: Guests, people: Sequence[Voice], weights: Weights, config: IntroduceConfig | None = None
    ) -> None:
        self.config = config or IntroduceConfig()
        self.guests = guests
        guests.meet(people)
        self._weights, self._pooling = weights, Pooling(weights)
        self._hops: deque[Embedding] = deque(maxlen=self.config.memory_hops)  # of speech, the newest
        self._guess = Named(None, 1.0)
        self._guessed = (0, 0)  # start of the turn that the guess is about, and when it was made, in hops of it
        self._told: tuple[int, str] | None = None  # the guess that was given out last
        self._current: Turn | None = None

    @property
    def current(self) -> Turn | None:
        """Who speaks now; a guest is a guess until the turn is over."""
        return self._current

    @property
    def names(self) -> tuple[str, ...]:
        """The guests so far."""
        return self.guests.names

    def push(self, embedding: Embedding, turns: Sequence[Turn], current: Turn | None) -> list[Turn]:
        """The turns under the names that they go out with, then a guess at who the unknown voice is, where it is news.

        Args:
            embedding: one hop, with its sums.
            turns: what was decided with this hop.
            current: who speaks now, as far as the decisions know.
        """
        if embedding.speech >= self.config.speech:
            self._hops.append(embedding)
        out = self.flush([turn for turn in turns if turn.final])
        guess = self._current = self._guessed_at(current)
        news = guess is not None and guess is not current and (guess.start, guess.name) != self._told
        # What the decisions guess and what is guessed here is one voice: the one that speaks now.
        if guess and (news or not all(turn.final for turn in turns)):
            self._told = guess.start, guess.name
            out.append(guess)
        return out

    def flush(self, turns: Sequence[Turn]) -> list[Turn]:
        """Turns under the names that they go out with, when no more sound comes."""
        self._current = None
        return [each for turn in turns for each in (self._named(turn) if turn.name == UNKNOWN else [turn])]

    def _guessed_at(self, current: Turn | None) -> Turn | None:
        if current is None or current.name != UNKNOWN:
            return current
        spoken = self._within(current)
        if self._guessed[0] != current.start:
            self._guess, self._guessed = Named(None, 1.0), (current.start, 0)
        if len(spoken) >= max(self.config.guess_hops, self._guessed[1] + self.config.guess_every):
            self._guess = self.guests.guess(spoken[-self.config.near_hops :])
            self._guessed = current.start, len(spoken)
        if self._guess.name is None:
            return current
        # It stays a guess until the turn is over and has been heard whole.
        probability = current.probability * self._guess.probability
        return replace(current, name=self._guess.name, probability=probability, final=False)

    def _named(self, turn: Turn) -> list[Turn]:
        spoken = self._within(turn)
        if not spoken:
            return [turn]
        parts = self._voices(spoken)
        named = [self.guests.hear(part) for part in parts]
        # Neighbours of one name are one turn; between two names it ends with the last hop of the one.
        runs = [[*run] for _, run in groupby(range(len(parts)), key=lambda i: named[i].name)]
        starts = [turn.start, *(parts[run[0]][0].start for run in runs[1:])]
        ends = [*(parts[run[-1]][-1].start + HOP_SAMPLES for run in runs[:-1]), turn.end]
        turns = []
        for run, start, end in zip(runs, starts, ends, strict=True):
            sure = float(np.average([named[i].probability for i in run], weights=[len(parts[i]) for i in run]))
            name = named[run[0]].name
            turns.append(replace(turn, start=start, end=end, name=name or UNKNOWN, probability=turn.probability * sure))
        return turns

    def _within(self, turn: Turn) -> list[Embedding]:
        return [hop for hop in self._hops if turn.start <= hop.start < turn.end]

    def _voices(self, spoken: list[Embedding]) -> list[list[Embedding]]:
        """The hops of a turn, divided where another voice begins."""
        part, near, n = self.config.part_hops, self.config.near_hops, len(spoken)
        cuts = np.arange(part, n - part + 1, 2)
        if not len(cuts):
            return [spoken]
        total = np.concatenate([np.zeros((1, self._pooling.n_sums)), np.cumsum(sums_of(spoken), axis=0)])
        before, before_s = self._pooling.embed(total[cuts] - total[np.maximum(0, cuts - near)])
        after, after_s = self._pooling.embed(total[np.minimum(n, cuts + near)] - total[cuts])
        judged = Judge(before, self._weights).llr(after, np.minimum(before_s, after_s))
        llr = np.diagonal(judged)
        at = int(llr.argmin())
        if llr[at] >= self.config.other_llr:
            return [spoken]
        cut = int(cuts[at])
        return [*self._voices(spoken[:cut]), *self._voices(spoken[cut:])]
