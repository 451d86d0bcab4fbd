"""Whom scores are normalised against: embeddings of training speakers, which travel with the weights."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from model.corpus import Clip, read_audio
from model.encoder import Encoder, Pooling
from model.enrol import references
from model.scoring import mean_vector
from stream.clock import SAMPLE_RATE
from stream.errors import FileError

__all__ = ["embed_cohort"]

COHORT_SPEAKERS = 400
COHORT_SPEECH_S = 6.0  # of a speaker: more would be more like an enrolment than like a window


def embed_cohort(
    encoder: Encoder, clips: Sequence[Clip], *, speakers: int = COHORT_SPEAKERS, seed: int = 0
) -> NDArray[np.float16]:
    """(n, d) one embedding for each of at most `speakers` training speakers, as many of each corpus as there are."""
    pooling = Pooling(encoder.weights)
    rows: list[NDArray[np.float32]] = []
    for of_speaker in _drawn(clips, np.random.default_rng(seed)):
        if len(rows) == speakers:
            break
        hops, speech_s = [], 0.0
        for clip in of_speaker:
            if speech_s >= COHORT_SPEECH_S:
                break
            try:
                heard = encoder.hops(read_audio(clip.path), sample_rate=SAMPLE_RATE)
            except FileError:
                continue
            hops += heard
            speech_s += sum(hop.speech for hop in heard) / 10
        _, vectors, seconds = references(hops, pooling)
        if seconds.sum() > 0:
            rows.append(mean_vector(vectors, seconds))
    return np.array(rows, np.float16).reshape(-1, encoder.size)


def _drawn(clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[list[Clip]]:
    # The speakers of each corpus in a random order, the corpora by turns.
    by_corpus: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        if clip.speaker:
            by_corpus[clip.corpus][clip.speaker].append(clip)
    queues = [
        [speakers[name] for name in rng.permutation(sorted(speakers))] for _, speakers in sorted(by_corpus.items())
    ]
    while any(queues):
        for queue in queues:
            if queue:
                yield queue.pop()
