"""Turns of "unknown" in, turns of guests out: the stage after the decisions.

    Turn "unknown" -> its hops of speech -> one voice, or several one after the other -> Guests -> Turn

The decisions know one "unknown": two strangers who speak without a pause of half a second are one turn to them, which
is divided first. What was final before stays as it was: nobody is renamed when a voice becomes a guest.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from model.divide import NEAR_HOPS, divide, parts_of, within
from model.encoder import Pooling
from model.guests import Guests, Named, sums_of
from model.voices import Voice
from model.weights import Weights
from stream.errors import UsageError
from stream.records import UNKNOWN, Embedding, Turn

__all__ = ["Introduce", "IntroduceConfig"]


@dataclass(frozen=True, slots=True)
class IntroduceConfig:
    """How turns of unknown voices are heard. Lengths are hops of speech."""

    speech: float = 0.5  # mean probability from which a hop is speech
    memory_hops: int = 300  # kept: of a longer turn, the sound before is whoever comes first in them
    guess_hops: int = 10  # before a guess is made, and
    guess_every: int = 5  # between two guesses

    def __post_init__(self) -> None:
        if not 1 <= self.guess_hops <= self.memory_hops or self.guess_every < 1:
            raise UsageError(
                f"expected a guess after at least 1 hop and no more than are kept, got {self.guess_hops} of "
                f"{self.memory_hops}, every {self.guess_every}; leave them at their defaults"
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
        spoken = within(self._hops, current)
        if self._guessed[0] != current.start:
            self._guess, self._guessed = Named(None, 1.0), (current.start, 0)
        if len(spoken) >= max(self.config.guess_hops, self._guessed[1] + self.config.guess_every):
            self._guess = self.guests.guess(spoken[-NEAR_HOPS:])
            self._guessed = current.start, len(spoken)
        if self._guess.name is None:
            return current
        # It stays a guess until the turn is over and has been heard whole.
        probability = current.probability * self._guess.probability
        return replace(current, name=self._guess.name, probability=probability, final=False)

    def _named(self, turn: Turn) -> list[Turn]:
        spoken = within(self._hops, turn)
        if not spoken:
            return [turn]
        parts = [spoken[part] for part in divide(sums_of(spoken), self._pooling, self._weights)]
        named = [self.guests.hear(part) for part in parts]
        called = [(each.name or UNKNOWN, turn.probability * each.probability) for each in named]
        return parts_of(turn, parts, called)
