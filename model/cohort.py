"""Embeddings of training speakers, which travel with the weights.

The cohort is whom scores are normalised against; the strangers teach a fine-tuned head what nobody is.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from model.augment import augment, simulate_rooms
from model.corpus import NOISE, Clip, read_audio
from model.encoder import Encoder, Pooling
from model.enrol import SPEECH_HOP, references
from model.scoring import mean_vector
from stream.clock import SAMPLE_RATE
from stream.errors import FileError

__all__ = ["embed_cohort", "embed_strangers"]

COHORT_SPEAKERS = 400
COHORT_SPEECH_S = 6.0  # of a speaker: more would be more like an enrolment than like a window
STRANGERS = 1_000
STRANGER_HOPS = (5, 30)  # lengths of their windows, as a head is tested on


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


def embed_strangers(
    encoder: Encoder, clips: Sequence[Clip], *, rooms: int, windows: int = STRANGERS, seed: int = 1
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Windows of at most so many training speakers, every second one spoilt by noise, a room or a line.

    Args:
        encoder: the network.
        clips: training clips, noises among them.
        rooms: how many simulated rooms there are.
        windows: one of a speaker.
        seed: of all that is drawn.

    Returns:
        (n, d) embeddings and (n,) seconds of speech behind each.
    """
    rng, pooling = np.random.default_rng(seed), Pooling(encoder.weights)
    responses = simulate_rooms(rooms, rng)
    noises = []
    for clip in clips:
        if clip.corpus == NOISE:
            with suppress(FileError):  # which was named when the features were made
                noises.append(read_audio(clip.path))
    sums: list[NDArray[np.float64]] = []
    for of_speaker in _drawn(clips, rng):
        if len(sums) == windows:
            break
        try:
            samples = read_audio(of_speaker[rng.integers(len(of_speaker))].path)
        except FileError:
            continue
        if len(sums) % 2:
            samples = augment(samples, noises, [], responses, rng)
        spoken = [hop.sums for hop in encoder.hops(samples, sample_rate=SAMPLE_RATE) if hop.speech >= SPEECH_HOP]
        n = int(rng.integers(STRANGER_HOPS[0], STRANGER_HOPS[1] + 1))
        if len(spoken) >= STRANGER_HOPS[0]:
            at = int(rng.integers(max(1, len(spoken) - n + 1)))
            sums.append(np.sum(spoken[at : at + n], axis=0))
    vectors, speech_s = pooling.embed(np.array(sums).reshape(-1, pooling.n_sums))
    return vectors.astype(np.float16), speech_s.astype(np.float16)


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
