"""How much a window's voice is like each enrolled person's.

A short or noisy piece of speech is less like everybody, its own speaker among them, and some voices are like
many. Adaptive s-norm (Matějka et al., 2017) therefore measures a cosine in deviations from what the most
alike voices of a cohort get, on both sides; then a calibration that knows the seconds of speech makes it a
log likelihood ratio, together with what a fine-tuned head says of the people that it knows.
"""

from collections.abc import Sequence
from copy import copy

import numpy as np
from numpy.typing import NDArray

from model.calibration import Calibration, Fusion, posterior
from model.head import Head
from model.voices import Voice
from model.weights import Weights
from stream.records import UNKNOWN, Embedding, Scores

__all__ = ["UNKNOWN_PRIOR", "Judge", "SNorm", "Scorer", "centroid", "judge_of", "mean_vector"]

UNKNOWN_PRIOR = 0.6
"""How probably a voice is nobody's, before it is heard. A wrong name is worse than none: with 0.5, 1.5 times as many
strangers get one, and three quarters as many of the people are rejected."""

NEAREST = 100  # voices of the cohort that a voice is compared with
NEAREST_SPOILT = 30  # the same where spoilt strangers stand among them

LEAST_S = 0.05
"""Seconds of speech in the longest window, half a hop, below which nobody is judged: the decisions call it silence."""


def centroid(voice: Voice) -> NDArray[np.float32]:
    """(d,) the mean of a person's reference embeddings, weighted by their speech, unit length."""
    return mean_vector(voice.vectors, voice.speech_s)


def mean_vector(vectors: NDArray[np.floating], speech_s: NDArray[np.floating]) -> NDArray[np.float32]:
    """(d,) the mean of (n, d) vectors, weighted by their (n,) seconds of speech, unit length."""
    mean = speech_s @ vectors
    unit: NDArray[np.float32] = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit


class SNorm:
    """Scores vectors against people, normalised on both sides.

    Args:
        people: (p, d) unit length.
        cohort: (n, d) unit length, at least two.
        nearest: so many of the cohort count, at most all.
    """

    def __init__(self, people: NDArray[np.floating], cohort: NDArray[np.floating], nearest: int = NEAREST) -> None:
        self._cohort = np.ascontiguousarray(cohort.T, np.float32)
        self._nearest = min(nearest, len(cohort))
        self._people = np.ascontiguousarray(people.T, np.float32)
        self._mean, self._deviation = self._strangers(np.asarray(people, np.float32))

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, p) scores of (n, d) vectors of unit length: deviations from strangers, the mean of both sides."""
        cosine = vectors @ self._people
        mean, deviation = self._strangers(vectors)
        on_both_sides = (cosine - self._mean) / self._deviation + (cosine - mean[:, None]) / deviation[:, None]
        return (on_both_sides / 2).astype(np.float32, copy=False)

    def joined_by(self, vectors: NDArray[np.float32]) -> "SNorm":
        """The same with (k, d) more people, of unit length, after those who are there."""
        joined, (mean, deviation) = copy(self), self._strangers(vectors)
        joined._people = np.concatenate([self._people, vectors.T], axis=1)
        joined._mean, joined._deviation = np.append(self._mean, mean), np.append(self._deviation, deviation)
        return joined

    def _strangers(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        cosine = vectors @ self._cohort
        if self._nearest < cosine.shape[1]:
            cosine = np.partition(cosine, -self._nearest, axis=1)[:, -self._nearest :]
        mean = cosine.sum(axis=1) / np.float32(self._nearest)
        square = np.vecdot(cosine, cosine) / np.float32(self._nearest)
        return mean, np.sqrt(np.maximum(square - np.square(mean), 1e-6))


class Judge:
    """Says how much more probable it is that a voice is a person's than that it is anybody else's.

    Args:
        people: (p, d) unit length.
        weights: whose cohort and calibration to use.
        head: what was learned of some of the people.
        outputs: (p,) which output of the head is each person's, -1 for none; in order unless told.
        score: how a voice is compared; against the cohort unless told.
    """

    def __init__(
        self,
        people: NDArray[np.floating],
        weights: Weights,
        head: Head | None = None,
        outputs: Sequence[int] | None = None,
        score: SNorm | None = None,
    ) -> None:
        self._score = score or SNorm(people, weights.cohort)
        self._calibration, self._fusion = Calibration(**weights.calibration), Fusion(**weights.fusion)
        self._head = head
        found = np.arange(len(people)) if outputs is None else np.array(outputs)
        (self._known,) = np.nonzero(found >= 0)
        self._outputs = found[self._known]

    def joined_by(self, vectors: NDArray[np.float32]) -> "Judge":
        """The same with (k, d) more people, of unit length, after those who are there; no head knows them."""
        joined = copy(self)
        joined._score = self._score.joined_by(vectors)
        return joined

    def llr(self, vectors: NDArray[np.float32], speech_s: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, p) natural-log likelihood ratios of (n, d) vectors with (n,) seconds of speech behind them."""
        score = self._score(vectors)
        llr = self._calibration.llr(score, speech_s)
        if self._head is not None and len(self._known):
            evidence = self._head.evidence(vectors)[:, self._outputs]
            fused = self._fusion.llr(score[:, self._known], evidence, speech_s)
            heard = np.minimum(speech_s, 1.0)[:, None]  # of what was not heard, nothing is said
            llr[:, self._known] = fused - self._head.threshold * heard
        return llr


def judge_of(voices: Sequence[Voice], weights: Weights, head: Head | None = None, *, spoilt: bool = False) -> Judge:
    """Who judges people by their references.

    Args:
        voices: of them.
        weights: what made their embeddings.
        head: what fine-tuning learned of some of them.
        spoilt: against strangers in noise, rooms and on lines too, instead of the cohort alone.
    """
    order = {identifier: i for i, identifier in enumerate(head.people)} if head else {}
    people = np.array([centroid(voice) for voice in voices], np.float32).reshape(len(voices), weights.cohort.shape[1])
    score = None
    if spoilt:
        strangers, _ = weights.strangers()
        score = SNorm(people, np.concatenate([weights.cohort, strangers]), NEAREST_SPOILT)
    return Judge(people, weights, head, [order.get(voice.id, -1) for voice in voices], score)


class Scorer:
    """A stage: `Embedding` in, `Scores` out.

    Args:
        voices: the enrolled people; may be empty, then everybody is unknown.
        weights: what made the embeddings.
        head: what fine-tuning learned of some of them.
        speech: mean probability of speech in a hop, below which nobody is judged.
    """

    def __init__(
        self, voices: Sequence[Voice], weights: Weights, head: Head | None = None, speech: float = 0.0
    ) -> None:
        self._speech = speech
        self.names = (*(voice.name for voice in voices), UNKNOWN)
        self._judge = judge_of(voices, weights, head) if voices else None

    latency_samples = 0
    """Nothing waits here."""

    needs_sound = False
    """Embeddings are enough."""

    def push(self, embedding: Embedding) -> list[Scores]:
        """One record."""
        llr = np.zeros((len(embedding.vectors), len(self.names)), np.float32)
        if self._judge is not None and embedding.speech_s[-1] >= LEAST_S and embedding.speech >= self._speech:
            llr[:, :-1] = self._judge.llr(embedding.vectors, embedding.speech_s)
        # The longest window has heard the most since the last pause.
        probabilities = posterior(llr[-1, :-1], UNKNOWN_PRIOR).astype(np.float32)
        return [Scores(embedding.start, self.names, llr, probabilities, embedding.speech)]

    def flush(self) -> list[Scores]:
        """Nothing is held back."""
        return []
