"""Learning a voice: from sound to reference embeddings of one person, coached on the way."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.coach import ENOUGH_SPEECH_S, MAX_CLIPPED, Progress, snr_db
from model.encoder import Encoder, FrameLayers, HopSums, Pooling, add_up
from model.other_voice import OtherVoice
from model.voices import Voice, check_name, coherence
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
    "embed_references",
    "references",
]

MIN_SPEECH_S = 2.0
"""Seconds of speech below which nothing is learned."""

MOST_SPEECH_S = 30.0  # more is not listened to: ten references of 3 s are kept at most
REFERENCE_S = 3.0  # seconds of speech behind one reference
SPEECH_HOP = 0.5  # a hop with at least this mean probability belongs to a reference
NOISE_HOP = 0.25  # a hop with less holds no speech at all
NOISE_HOPS = 300  # the last half minute of noise counts
CLIPPED = 0.985  # of full scale
MAX_OTHER = 0.4  # share of another voice in the speech; beyond this nobody can tell whose the name is


@dataclass(frozen=True, eq=False, slots=True)
class References:
    """What is kept of a voice."""

    vectors: NDArray[np.float32]  # (n, d) unit length
    speech_s: NDArray[np.float32]  # (n,) seconds of speech behind each
    audio: list[NDArray[np.float32]]  # n recordings at 16 kHz, silence and other voices cut out
    progress: Progress  # of all that was heard, with what was left out

    def voice(self, name: str) -> Voice:
        """A person with these references who is in no profile.

        Raises:
            UsageError: see `check_name`.
        """
        name = check_name(name)
        return Voice(name, self.vectors, self.speech_s, added="", has_audio=False, id=name)


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
    vectors, speech_s = pooling.embed(np.stack([add_up(group) for group in groups]))
    return groups, vectors, speech_s


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
        self._other = OtherVoice(encoder.weights)
        self._hops: list[tuple[HopSums, NDArray[np.float32]]] = []  # hops of speech and their sound
        self._power: list[float] = []  # mean square of each
        self._clipped: list[int] = []  # samples of each at full scale
        self._noise: deque[float] = deque(maxlen=NOISE_HOPS)  # mean squares of hops without speech
        self._heard_s = 0.0
        self._speech_s = 0.0  # of anybody
        self._coherence = np.nan  # as of the last half second

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        other = self._other.mask
        hops = [hop for hop, _ in self._hops]
        other_s = sum(hop.speech for hop, o in zip(hops, other, strict=True) if o) * HOP_SAMPLES / SAMPLE_RATE
        power, clipped = np.array(self._power)[~other], np.array(self._clipped)[~other]
        level = float(power.mean()) if len(power) else 0.0
        return Progress(
            speech_s=self._speech_s - other_s,
            heard_s=self._heard_s,
            level_db=10.0 * float(np.log10(level)) if level > 0.0 else -np.inf,
            clipped=float(clipped.mean()) / HOP_SAMPLES if len(clipped) else 0.0,
            snr_db=snr_db(power, self._noise),
            other_s=other_s,
            other_now=self._other.now,
            coherence=self._coherence,
        )

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
            EnrolmentError: there is less than 2 s of the person's speech, it is clipped, or too much is another's.
        """
        self._other.settle()
        groups, vectors, speech_s = self._references()
        progress = self.progress
        if progress.speech_s < MIN_SPEECH_S:
            raise EnrolmentError(
                f"expected at least {MIN_SPEECH_S:.0f} s of speech, heard {progress.speech_s:.1f} s of it in "
                f"{progress.heard_s:.1f} s of sound; nothing is kept, record a longer sample, closer to the microphone"
            )
        if progress.other_s > MAX_OTHER * (progress.other_s + progress.speech_s):
            raise EnrolmentError(
                f"expected one voice, heard {progress.speech_s:.0f} s of one and {progress.other_s:.0f} s of another; "
                "nothing is kept, record one person alone"
            )
        if progress.clipped > MAX_CLIPPED:
            raise EnrolmentError(
                f"expected an undistorted voice, {100 * progress.clipped:.1f} % of its samples are clipped; "
                "lower the input level and record again"
            )
        sound = {id(hop): samples for hop, samples in self._hops}
        audio = [np.concatenate([sound[id(hop)] for hop in group]) for group in groups]
        return References(vectors, speech_s, audio, progress)

    def _references(self) -> tuple[list[list[HopSums]], NDArray[np.float32], NDArray[np.float32]]:
        # Of the person's speech alone, as `references` gives them.
        own = (hop for (hop, _), other in zip(self._hops, self._other.mask, strict=True) if not other)
        found = references(own, self._pooling)
        self._coherence = coherence(*found[1:])
        return found

    def _take(self, hops: list[tuple[HopSums, NDArray[np.float32]]]) -> None:
        for hop, samples in hops:
            power = float(np.mean(np.square(samples, dtype=np.float64)))
            if hop.speech >= SPEECH_HOP:
                self._hops.append((hop, samples))
                self._power.append(power)
                self._clipped.append(int(np.count_nonzero(np.abs(samples) >= CLIPPED)))
                self._speech_s += hop.speech * HOP_SAMPLES / SAMPLE_RATE
                if self._other.push(hop):
                    self._references()
            elif hop.speech < NOISE_HOP:
                self._noise.append(power)


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
