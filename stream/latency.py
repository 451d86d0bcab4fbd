"""How much sound it took: until a turn was given its name, and until it was final."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from stream.records import Turn

__all__ = ["Stamp"]

_GUESSES = 1_000  # kept at most, so that a turn that never ends takes no more memory; a real one has a few


class Stamp:
    """Puts down, on every turn of an unbroken stretch of sound, how much sound had been heard when it was told.

    The clock is that of the sound, not of the machine: live and replayed, in pieces of any size, a turn gets the same
    stamps. What a device and the resampler hold back is not known here, and comes on top.

    >>> stamp = Stamp()
    >>> guess, final = Turn(0, 4_800, "Ann", 0.6, final=False), Turn(0, 16_000, "Ann", 0.9, final=True)
    >>> _ = stamp([guess], heard=6_752)
    >>> stamp([final], heard=44_352)[0].named_at
    6752
    """

    def __init__(self) -> None:
        self._guesses: deque[Turn] = deque(maxlen=_GUESSES)

    def __call__(self, turns: Iterable[Turn], heard: int) -> list[Turn]:
        """The turns with their stamps.

        Args:
            turns: in the order in which they were told.
            heard: one past the last sample that had been heard, at 16 kHz.
        """
        return [self._final(turn, heard) if turn.final else self._guess(turn, heard) for turn in turns]

    def _guess(self, turn: Turn, heard: int) -> Turn:
        turn = replace(turn, named_at=self._first(turn, heard))
        self._guesses.append(turn)
        return turn

    def _final(self, turn: Turn, heard: int) -> Turn:
        turn = replace(turn, named_at=self._first(turn, heard), final_at=heard)
        # Final turns come in order and do not overlap: no later one can have been meant by these.
        while self._guesses and self._guesses[0].end <= turn.end:
            self._guesses.popleft()
        return turn

    def _first(self, turn: Turn, heard: int) -> int:
        # A guess moves its ends until it is final: what overlaps and has the name is the same turn.
        for guess in self._guesses:
            if guess.name == turn.name and guess.start < turn.end and turn.start < guess.end:
                return guess.named_at if guess.named_at is not None else heard
        return heard
