"""Two voices compared: who could be taken for whom, and whether more speech is the same person's."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from model.scoring import Judge, centroid, mean_vector
from model.voices import Voice
from model.weights import Weights

__all__ = ["UNLIKE_LLR", "VOICE_S", "alike", "is_unlike"]

VOICE_S = 4.0
"""Seconds of speech that a whole voice counts as, where two are compared."""

UNLIKE_LLR = -0.5
"""Natural-log likelihood ratio below which new speech under a known name is another person's.

On 111 dev speakers, up to six draws of each: of 3 known and 2 new references of 3 s, or 5 and 3, 0 of 450 second
enrolments of the same person are doubted, 96 of these in another session (LibriSpeech), and 97 % of 450 other people
of the same corpus are found. Of 3 s known and 3 s new, 5.6 % of 666 are doubted wrongly. At -2, 94 and 91 % of the
others are found.
"""


def alike(voice: Voice, others: Iterable[Voice], weights: Weights) -> list[tuple[str, float]]:
    """Who sounds so much like `voice` that one could be taken for the other: (name, cosine), most alike first.

    Two people are alike when 4 s of one of them would rather be taken for the other than for a stranger.
    """
    people = [other for other in others if other.name != voice.name]
    if not people:
        return []
    centroids, own = np.stack([centroid(other) for other in people]), centroid(voice)
    llr = Judge(centroids, weights).llr(own[None], np.array([VOICE_S]))[0]
    found = [(other.name, float(c @ own)) for other, c, e in zip(people, centroids, llr, strict=True) if e > 0]
    return sorted(found, key=lambda pair: -pair[1])


def is_unlike(voice: Voice, vectors: NDArray[np.float32], speech_s: NDArray[np.float32], weights: Weights) -> bool:
    """Whether new references do not sound like a person who is known.

    Args:
        voice: the person.
        vectors: (n, d) unit length, the new references.
        speech_s: (n,) seconds of speech behind each.
        weights: whose cohort and calibration to use.
    """
    new, heard = mean_vector(vectors, speech_s), np.array([speech_s.sum()])
    return bool(Judge(centroid(voice)[None], weights).llr(new[None], heard)[0, 0] < UNLIKE_LLR)
