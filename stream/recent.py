"""The last minute of sound, so that who has just spoken can be enrolled from it. It is in memory only."""

from collections import deque
from collections.abc import Iterable
from threading import Lock

from stream.clock import SAMPLE_RATE
from stream.records import Block, Turn

__all__ = ["KEPT_S", "Recent"]

KEPT_S = 60.0
"""Seconds of sound that are kept at most."""


class Recent:
    """Keeps the newest blocks. One thread pushes, another one may cut.

    Args:
        rate: samples a second of the blocks.

    >>> import numpy as np
    >>> recent = Recent(16_000)
    >>> for start in range(0, 32_000, 1_600):
    ...     recent.push(Block(start, np.zeros(1_600, np.float32)))
    >>> [(b.start, len(b.samples)) for b in recent.cut([Turn(4_000, 6_400, "Ann", 0.9, final=True)])]
    [(4000, 800), (4800, 1600)]
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._blocks: deque[Block] = deque()
        self._samples = 0
        self._lock = Lock()

    def push(self, block: Block) -> None:
        """Keep it, and let go of what is older than a minute."""
        with self._lock:
            self._blocks.append(block)
            self._samples += len(block.samples)
            while self._samples > KEPT_S * self.rate:
                self._samples -= len(self._blocks.popleft().samples)

    def cut(self, turns: Iterable[Turn]) -> list[Block]:
        """The sound of some turns, as far as it is still there, in the order of the turns.

        Returns:
            Blocks at `rate`; a jump in `start` parts what does not belong together.
        """
        with self._lock:
            kept = tuple(self._blocks)
        pieces = []
        for turn in turns:
            start, end = (round(at * self.rate / SAMPLE_RATE) for at in (turn.start, turn.end))
            for block in kept:
                first, last = max(start - block.start, 0), min(end - block.start, len(block.samples))
                if first < last:
                    pieces.append(Block(block.start + first, block.samples[first:last], block.rate))
        return pieces
