"""How much a window's voice is like each enrolled person's."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.calibration import Calibration, posterior
from model.profile import Voice
from stream.records import UNKNOWN, Embedding, Scores

__all__ = ["UNKNOWN_PRIOR", "Scorer", "centroid"]

UNKNOWN_PRIOR = 0.3
"""How probably a voice is nobody's, before it is heard."""


def centroid(voice: Voice) -> NDArray[np.float32]:
    """(d,) the mean of a person's reference embeddings, weighted by their speech, unit length."""
    mean = voice.speech_s @ voice.vectors
    unit: NDArray[np.float32] = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit


class Scorer:
    """A stage: `Embedding` in, `Scores` out.

    Args:
        voices: the enrolled people; may be empty, then everybody is unknown.
        calibration: of the weights.
    """

    def __init__(self, voices: Sequence[Voice], calibration: Calibration) -> None:
        self.names = (*(voice.name for voice in voices), UNKNOWN)
        self._people = np.stack([centroid(voice) for voice in voices]) if voices else None
        self._calibration = calibration

    latency_samples = 0
    """Nothing waits here."""

    def push(self, embedding: Embedding) -> list[Scores]:
        """One record."""
        llr = np.zeros((len(embedding.vectors), len(self.names)), np.float32)
        if self._people is not None:
            cosine = embedding.vectors @ self._people.T
            llr[:, :-1] = self._calibration.llr(cosine, embedding.speech_s)
        # The longest window has heard the most since the last pause.
        probabilities = posterior(llr[-1, :-1], UNKNOWN_PRIOR).astype(np.float32)
        return [Scores(embedding.start, self.names, llr, probabilities, embedding.speech)]

    def flush(self) -> list[Scores]:
        """Nothing is held back."""
        return []
