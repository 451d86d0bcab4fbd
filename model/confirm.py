"""Turns in, turns out: a name stands only where the whole turn speaks for it. The stage after the decisions.

    Turn "Ann" -> its hops of speech -> one voice, or one after the other -> an embedding of each -> "Ann", or "unknown"

The decisions lay short windows side by side, which finds who speaks soon and when that changes, but by half a second a
stranger is often like somebody. All of a turn, embedded once, says more. So a name is a guess until the turn so far is
sure of it; half of them are within a second and a half, the others wait, at the longest until the turn is over. What
the session remembers of its strangers speaks against a name: a short word of one of them is seldom somebody else's.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.calibration import posterior
from model.divide import Called, divide, parts_of, within
from model.encoder import Pooling
from model.guests import Guests, sums_of
from model.head import Head
from model.scoring import judge_of
from model.voices import Voice
from model.weights import Weights
from stream.errors import UsageError
from stream.records import UNKNOWN, Embedding, Turn

__all__ = ["Confirm", "ConfirmConfig"]


@dataclass(frozen=True, slots=True)
class ConfirmConfig:
    """How sure a name must be. Probabilities are those of all that the turn has said so far."""

    unknown: float = 0.65  # prior probability that a turn is nobody's who is known
    name: float = 0.6  # from which a turn that is over has its name; below it is "unknown"
    settle: float = 0.9  # from which the name is settled before the turn is over
    doubt: float = 0.05  # below which a guess is shown as "unknown": most names for what is no voice are
    speech: float = 0.5  # mean probability from which a hop is speech
    memory_hops: int = 300  # of speech that are kept: of a longer turn, only the last count

    def __post_init__(self) -> None:
        if not 0 < self.unknown < 1 or not 0 <= self.doubt <= self.name <= self.settle <= 1 or self.memory_hops < 1:
            raise UsageError(
                f"expected a prior between 0 and 1 and probabilities that ascend from doubt to name to settle, got "
                f"{self.unknown:g} and {self.doubt:g}, {self.name:g}, {self.settle:g}; leave them at their defaults"
            )


class Confirm:
    """Hears the turns of one unbroken stretch of sound again, each as a whole.

    Args:
        people: who is enrolled.
        weights: whose cohort, strangers and calibration to use.
        head: what fine-tuning learned of some of them.
        config: how sure a name must be.
        guests: the strangers of the session, whose a voice may be instead; nobody unless told.
    """

    def __init__(
        self,
        people: Sequence[Voice],
        weights: Weights,
        head: Head | None = None,
        config: ConfirmConfig | None = None,
        guests: Guests | None = None,
    ) -> None:
        self.config = config or ConfirmConfig()
        self._names = [voice.name for voice in people]
        self._weights, self._pooling = weights, Pooling(weights)
        self._people = self._judge = judge_of(people, weights, head, spoilt=True)
        self._guests = guests or Guests(weights)
        self._strangers: NDArray[np.float32] | None = None  # of the session, whom the judge knows too
        self._hops: deque[Embedding] = deque(maxlen=self.config.memory_hops)  # of speech, the newest
        self._settled: tuple[int, str] | None = None  # start and name of the turn that speaks, once that is settled
        self._told: tuple[int, str] | None = None  # the guess that was given out last
        self._sum: tuple[int, int, NDArray[np.float64]] = 0, 0, np.zeros(self._pooling.n_sums)  # from, to, of the hops
        self.current: Turn | None = None  # who speaks now; `final` says that the name is settled

    def push(self, embedding: Embedding, turns: Sequence[Turn], current: Turn | None) -> list[Turn]:
        """The turns that are final now under the names that they go out with, then a guess where it is news.

        Args:
            embedding: one hop, with its sums.
            turns: what was decided with this hop.
            current: who speaks now, as far as the decisions know.
        """
        if embedding.speech >= self.config.speech:
            self._hops.append(embedding)
        out = self.flush([turn for turn in turns if turn.final])
        self.current = guess = self._heard_so_far(current) if current else None
        if guess and not guess.final and (guess.start, guess.name) != self._told:
            self._told = guess.start, guess.name
            out.append(guess)
        return out

    def flush(self, turns: Sequence[Turn]) -> list[Turn]:
        """Final turns under the names that they go out with, when no more sound comes."""
        self.current = None
        return [each for turn in turns for each in (self._heard(turn) if turn.name != UNKNOWN else [turn])]

    def _heard_so_far(self, turn: Turn) -> Turn:
        if turn.name == UNKNOWN or self._settled == (turn.start, turn.name):
            return turn
        probability = self._probability(self._total(turn))
        of_name = probability[self._names.index(turn.name)]
        if turn.final and of_name >= self.config.settle:  # one that the decisions may change is a guess anyhow
            self._settled = turn.start, turn.name
            return turn
        if of_name < self.config.doubt:
            return replace(turn, name=UNKNOWN, probability=float(probability[-1]), final=False)
        return replace(turn, final=False)

    def _total(self, turn: Turn) -> NDArray[np.float64]:
        # The sum over a turn that goes on: what was added up at the last hop, and what came since.
        start, end, total = self._sum
        if start != turn.start or end > turn.end:
            end, total = turn.start, np.zeros(self._pooling.n_sums)
        for hop in reversed(self._hops):
            if hop.start < end:
                break
            if hop.start < turn.end and hop.sums is not None:
                total = total + hop.sums
        self._sum = turn.start, turn.end, total
        return total

    def _heard(self, turn: Turn) -> list[Turn]:
        spoken = within(self._hops, turn)
        if not spoken:
            return [turn]
        sums = sums_of(spoken)
        parts = divide(sums, self._pooling, self._weights)
        named = [self._named(sums[part].sum(axis=0)) for part in parts]
        if self._settled == (turn.start, turn.name):
            probability = self._probability(sums[parts[0]].sum(axis=0))[self._names.index(turn.name)]
            named[0] = turn.name, float(probability)
        return parts_of(turn, [spoken[part] for part in parts], named)

    def _named(self, total: NDArray[np.float64]) -> Called:
        probability = self._probability(total)
        best = int(probability[:-1].argmax())
        if probability[best] >= self.config.name:
            return self._names[best], float(probability[best])
        return UNKNOWN, float(probability[-1])

    def _probability(self, total: NDArray[np.float64]) -> NDArray[np.float64]:
        # (people + 1,) of everybody, and last of nobody.
        vectors, speech_s = self._pooling.embed(total[None])
        if self._strangers is not self._guests.strangers:  # another turn was heard, or somebody was enrolled
            self._strangers = self._guests.strangers
            self._judge = self._people.joined_by(self._strangers)
        known, strangers = np.split(self._judge.llr(vectors, speech_s)[0], [len(self._names)])
        return posterior(known - self._guests.stranger_llr(strangers), self.config.unknown)
