"""Learning a voice: from sound to reference embeddings, with progress and a word about quality."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder, FrameLayers, HopSums, Pooling
from model.scoring import Judge, centroid
from model.voices import Voice
from model.weights import Weights
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import EnrolmentError
from stream.records import Block
from stream.resample import Resampler

__all__ = [
    "ENOUGH_SPEECH_S",
    "MIN_SPEECH_S",
    "Enrolment",
    "Progress",
    "References",
    "alike",
    "embed_references",
    "references",
]

MIN_SPEECH_S = 2.0
"""Seconds of speech below which nothing is learned."""

ENOUGH_SPEECH_S = 15.0
"""Seconds of speech that make a good voice: 100 per cent."""

MOST_SPEECH_S = 30.0  # more is not listened to: ten references of 3 s are kept at most
REFERENCE_S = 3.0  # seconds of speech behind one reference
SPEECH_HOP = 0.5  # a hop with at least this mean probability belongs to a reference
CLIPPED = 0.985  # of full scale
MAX_CLIPPED = 0.005  # share of samples in speech; beyond this a voice is distorted
QUIET_DB = -50.0  # RMS of speech; below this there is more noise than voice in most microphones


@dataclass(frozen=True, eq=False, slots=True)
class References:
    """What is kept of a voice."""

    vectors: NDArray[np.float32]  # (n, d) unit length
    speech_s: NDArray[np.float32]  # (n,) seconds of speech behind each
    audio: list[NDArray[np.float32]]  # n recordings at 16 kHz, silence cut out


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an enrolment has come."""

    speech_s: float  # seconds of speech so far
    heard_s: float  # seconds of sound so far
    level_db: float  # RMS of the speech, dB relative to full scale; -inf before there is any
    clipped: float  # share of the speech samples at full scale

    @property
    def percent(self) -> int:
        """Of the speech that makes a good voice, at most 100."""
        return min(100, int(100 * self.speech_s / ENOUGH_SPEECH_S))

    @property
    def advice(self) -> str:
        """What would make it better, or nothing."""
        if self.clipped > MAX_CLIPPED:
            return "too loud: move back or lower the input level"
        if self.speech_s and self.level_db < QUIET_DB:
            return "quiet: move closer or raise the input level"
        if self.heard_s > 5 and self.speech_s < 0.2 * self.heard_s:
            return "hardly any speech: is this the right microphone?"
        return ""


def references(
    hops: Iterable[HopSums], pooling: Pooling
) -> tuple[list[list[HopSums]], NDArray[np.float32], NDArray[np.float32]]:
    """Group the hops of speech into references of about 3 s.

    Args:
        hops: of recordings by one person, in order.
        pooling: of the weights.

    Returns:
        The hops of each reference, their embeddings (n, d) and the seconds of speech (n,). A rest of less
        than half a reference goes to the last one.
    """
    groups: list[list[HopSums]] = [[]]
    seconds = 0.0
    for hop in hops:
        if hop.speech < SPEECH_HOP:
            continue
        if seconds >= REFERENCE_S:
            groups.append([])
            seconds = 0.0
        groups[-1].append(hop)
        seconds += hop.speech * HOP_SAMPLES / SAMPLE_RATE
    if seconds < REFERENCE_S / 2 and len(groups) > 1:
        rest = groups.pop()
        groups[-1] += rest
    if not groups[0]:
        empty = np.empty(0, np.float32)
        return [], empty.reshape(0, pooling.size), empty
    vectors, speech_s = pooling.embed(np.stack([np.sum([hop.sums for hop in group], axis=0) for group in groups]))
    return groups, vectors, speech_s


def alike(voice: Voice, others: Iterable[Voice], weights: Weights) -> list[tuple[str, float]]:
    """Who sounds so much like `voice` that one could be taken for the other: (name, cosine), most alike first.

    Two people are alike when 4 s of one of them would rather be taken for the other than for a stranger.
    """
    people = [other for other in others if other.name != voice.name]
    if not people:
        return []
    centroids, own = np.stack([centroid(other) for other in people]), centroid(voice)
    llr = Judge(centroids, weights).llr(own[None], np.array([4.0]))[0]
    found = [(other.name, float(c @ own)) for other, c, e in zip(people, centroids, llr, strict=True) if e > 0]
    return sorted(found, key=lambda pair: -pair[1])


def embed_references(encoder: Encoder, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One embedding of a kept recording (n,) at 16 kHz: vectors (1, d) and seconds (1,), 0 where there is no speech."""
    pooling = Pooling(encoder.weights)
    total = np.zeros(pooling.n_sums)  # of one too short for a single row as well
    for hop in encoder.hops(samples, sample_rate=SAMPLE_RATE):
        total += hop.sums
    return pooling.embed(total[None])


class Enrolment:
    """Hears one person, from one source after another, and says how far it has come.

    Args:
        encoder: the network.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._pooling = Pooling(encoder.weights)
        self._hops: list[tuple[HopSums, NDArray[np.float32]]] = []  # hops of speech and their sound
        self._heard_s = 0.0
        self._speech_s = 0.0
        self._power = 0.0  # sum of squares in speech
        self._clipped = 0  # samples of speech at full scale

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        samples = max(1, len(self._hops) * HOP_SAMPLES)
        power = self._power / samples
        level_db = 10.0 * float(np.log10(power)) if power > 0.0 else -np.inf
        return Progress(self._speech_s, self._heard_s, level_db, self._clipped / samples)

    @property
    def full(self) -> bool:
        """There is more than enough."""
        return self._speech_s >= MOST_SPEECH_S

    def listen(self, blocks: Iterable[Block], rate: int) -> Iterator[Progress]:
        """Hear one source to its end, or until there is more than enough.

        Args:
            blocks: its sound.
            rate: samples per second of the blocks.

        Yields:
            The progress, once per block.
        """
        stretch, expected = _Stretch(self._encoder, rate), None
        for block in blocks:
            if expected is not None and block.start != expected:  # what is around a gap does not belong together
                stretch = _Stretch(self._encoder, rate)
            expected = block.start + len(block.samples)
            self._heard_s += len(block.samples) / rate
            self._take(stretch.push(block))
            yield self.progress
            if self.full:
                return
        self._take(stretch.flush())
        yield self.progress

    def finish(self) -> References:
        """The references.

        Raises:
            EnrolmentError: there is less than 2 s of speech, or it is clipped.
        """
        progress = self.progress
        if progress.speech_s < MIN_SPEECH_S:
            raise EnrolmentError(
                f"expected at least {MIN_SPEECH_S:.0f} s of speech, heard {progress.speech_s:.1f} s of it in "
                f"{progress.heard_s:.1f} s of sound; record a longer sample, closer to the microphone"
            )
        if progress.clipped > MAX_CLIPPED:
            raise EnrolmentError(
                f"expected an undistorted voice, {100 * progress.clipped:.1f} % of its samples are clipped; "
                "lower the input level and record again"
            )
        groups, vectors, speech_s = references((hop for hop, _ in self._hops), self._pooling)
        sound = {id(hop): samples for hop, samples in self._hops}
        audio = [np.concatenate([sound[id(hop)] for hop in group]) for group in groups]
        return References(vectors, speech_s, audio)

    def _take(self, hops: list[tuple[HopSums, NDArray[np.float32]]]) -> None:
        for hop, samples in hops:
            if hop.speech >= SPEECH_HOP:
                self._hops.append((hop, samples))
                self._speech_s += hop.speech * HOP_SAMPLES / SAMPLE_RATE
                self._power += float(np.sum(np.square(samples, dtype=np.float64)))
                self._clipped += int(np.count_nonzero(np.abs(samples) >= CLIPPED))


class _Stretch:
    """Unbroken sound of one source: hops, each with its samples."""

    def __init__(self, encoder: Encoder, rate: int) -> None:
        self._resampler, self._mfcc = Resampler(rate), encoder.mfcc()
        self._layers = FrameLayers(encoder.weights)
        self._sound = np.empty(0, np.float32)  # from the next hop on

    def push(self, block: Block) -> list[tuple[HopSums, NDArray[np.float32]]]:
        return self._hear(self._resampler.push(block))

    def flush(self) -> list[tuple[HopSums, NDArray[np.float32]]]:
        return self._hear(self._resampler.flush())

    def _hear(self, pieces: list[Block]) -> list[tuple[HopSums, NDArray[np.float32]]]:
        hops = []
        for piece in pieces:
            self._sound = np.concatenate([self._sound, piece.samples])
            for rows in self._mfcc.push(piece):
                for hop in self._layers.push(rows):
                    hops.append((hop, self._sound[:HOP_SAMPLES].copy()))
                    self._sound = self._sound[HOP_SAMPLES:].copy()
        return hops
