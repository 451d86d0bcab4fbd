"""The sound of a hop, kept until the hop has been embedded."""

import numpy as np

from stream.clock import HOP_SAMPLES
from stream.records import Block, FloatArray

__all__ = ["HopSound"]


class HopSound:
    """Blocks at 16 kHz in, hops out when they are asked for, in their order.

    It holds what the stages up to the embedding wait for, 122 ms, and the newest block.
    """

    def __init__(self) -> None:
        self._samples: FloatArray = np.empty(0, np.float32)
        self._start: int | None = None  # of the first sample that is kept

    def push(self, block: Block) -> None:
        """More sound, right after what came before."""
        if self._start is None:
            self._start = block.start
        self._samples = np.concatenate([self._samples, block.samples])

    def take(self, start: int) -> FloatArray:
        """(n,) the hop that begins at sample `start`, what there is of it; all sound up to its end is forgotten."""
        at = start - (self._start or 0)
        hop = self._samples[at : at + HOP_SAMPLES].copy()
        self._samples = self._samples[at + HOP_SAMPLES :]
        self._start = start + HOP_SAMPLES
        return hop
