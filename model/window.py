"""Window mode, live: at every hop a base model hears the last 2 s of sound, or what came since the last pause.

    Embedding with its hop's samples -> MFCC rows -> window -> base model -> evidence -> with the cohort: Scores

The shipped network still says when somebody speaks, and the cohort who it may be. The base model is a second opinion on
the people whom it knows: see `Opinion`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model import encoder
from model.calibration import posterior
from model.head import Head
from model.scoring import UNKNOWN_PRIOR, Scorer
from model.voices import Voice
from model.weights import Weights
from model.window_head import HOP, MIN_ROWS, WINDOW_HOPS, WINDOW_ROWS, WindowHead, features, window_of
from stream.clock import HOP_SAMPLES
from stream.mfcc import Mfcc
from stream.records import Block, Embedding, Scores

__all__ = ["WindowScorer", "scorer_of"]

Floats = NDArray[np.float32]


class WindowScorer:
    """A stage: `Embedding` with its hop's samples in, `Scores` out: the cohort's and a base model's together.

    Whom the base model does not know is judged by the cohort alone, and so is everybody until half a second of sound
    has been heard since the start or the last pause.

    Args:
        voices: the enrolled people.
        weights: what made the embeddings.
        head: the base model.
        speech: mean probability of speech in a hop, below which nobody is judged.
    """

    def __init__(self, voices: Sequence[Voice], weights: Weights, head: WindowHead, speech: float = 0.0) -> None:
        self._scorer, self._opinion, self._speech = Scorer(voices, weights, speech=speech), head.opinion, speech
        self.names = self._scorer.names
        self._ask, self._shape = head.open()
        self._mfcc = Mfcc(features(self._shape[-1]), head.mel)
        self._since = encoder.SincePause()
        self._rows = np.empty((0, self._shape[-1]), np.float32)  # the newest
        self._end = 0  # first sample of the row that comes next
        order = {identifier: i for i, identifier in enumerate(head.people)}
        self._known = [i for i, voice in enumerate(voices) if voice.id in order]
        self._outputs = [order[voices[i].id] for i in self._known]

    latency_samples = 0
    """Nothing waits here: only rows that end with the hop or before it are in its window."""

    needs_sound = True
    """The base model has features of its own."""

    def push(self, embedding: Embedding) -> list[Scores]:
        """One record."""
        rows = self._window(embedding)
        scored = self._scorer.push(embedding)
        if len(rows) < MIN_ROWS or not self._known or embedding.speech < self._speech:
            return scored
        said = self._ask(window_of(rows, self._shape))[self._outputs]
        [scores] = scored
        llr = scores.llr.copy()
        speech_s = embedding.speech_s[encoder.WINDOW_HOPS.index(WINDOW_HOPS)]
        llr[:, self._known] = self._opinion.join(llr[:, self._known], said, speech_s)
        probabilities = posterior(llr[-1, :-1], UNKNOWN_PRIOR).astype(np.float32)
        return [replace(scores, llr=llr, probabilities=probabilities)]

    def flush(self) -> list[Scores]:
        """Nothing is held back."""
        return []

    def _window(self, embedding: Embedding) -> Floats:
        # The rows of the last 2 s that began after the last pause.
        if embedding.samples is None:
            raise ValueError("wanted an embedding with the samples of its hop, got one without")
        for frames in self._mfcc.push(Block(embedding.start, embedding.samples)):
            self._rows = np.concatenate([self._rows, frames.mfcc])[-WINDOW_ROWS:]
            self._end = frames.start + len(frames.mfcc) * HOP
        since = embedding.start + HOP_SAMPLES - self._since.push(embedding.speech) * HOP_SAMPLES
        n = min(max(0, (self._end - since) // HOP), len(self._rows))
        return self._rows[len(self._rows) - n :]


def scorer_of(
    voices: Sequence[Voice], weights: Weights, head: Head | WindowHead | None, speech: float = 0.0
) -> Scorer | WindowScorer:
    """The stage that scores people, in hops with so much speech, with the head that their profile has."""
    if isinstance(head, WindowHead):
        return WindowScorer(voices, weights, head, speech)
    return Scorer(voices, weights, head, speech)
