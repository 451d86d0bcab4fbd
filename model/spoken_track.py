"""What somebody says, end to end: where speech is in clean clips, and turns cut from it.

Where speech is, is told by the energy of the clean clip alone, not by any network, so that no system that is
measured on it has told the reference. A frame of 10 ms is speech when it is louder than a threshold 20 to 30 dB
below the loudest frames of its clip, in between 10 dB above the quietest; pauses below 0.2 s and the 30 ms around
are kept with it, and what is shorter than 0.1 s is a click.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.clock import SAMPLE_RATE

__all__ = ["SpokenTrack", "phrases"]

Floats = NDArray[np.float32]
Span = tuple[int, int]  # first sample, one past the last

FRAME = 160  # samples: 10 ms
CLOSEST_DB, FARTHEST_DB, ABOVE_FLOOR_DB = 20.0, 30.0, 10.0
PAUSE = 20  # frames; a shorter silence does not end a phrase
CLICK = 10  # frames; a shorter sound is no phrase
EDGE = 3  # frames around a phrase, where its sounds begin and die away
SILENCE = SAMPLE_RATE // 4  # samples between two clips that are said one after the other
NEAR = SAMPLE_RATE // 2  # a turn ends with a phrase that ends so near to where it would be cut
FADE = SAMPLE_RATE // 200  # samples over which a cut is faded


def phrases(samples: Floats) -> list[Span]:
    """Where speech is in a clean clip.

    Args:
        samples: (n,) mono at 16 kHz, of one person and little else.

    Returns:
        Stretches of speech in their order, at least 0.2 s apart; none where all is as loud as the loudest or silent.

    >>> hiss = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    >>> quiet = 1e-4 * hiss
    >>> phrases(np.concatenate([quiet, hiss, quiet]))
    [(15520, 32480)]
    """
    n = len(samples) // FRAME
    if not n:
        return []
    power = np.square(samples[: n * FRAME].reshape(n, FRAME), dtype=np.float64).mean(axis=1)
    level = 10 * np.log10(power + 1e-12)
    floor, loud = np.percentile(level, [5, 95])
    loud_enough = level > np.clip(floor + ABOVE_FLOOR_DB, loud - FARTHEST_DB, loud - CLOSEST_DB)
    if loud < -80.0:
        return []
    runs = _joined(_runs(loud_enough), PAUSE)
    runs = [(start, end) for start, end in runs if end - start >= CLICK]
    wide = _joined([(max(0, start - EDGE), min(n, end + EDGE)) for start, end in runs], PAUSE)
    return [(start * FRAME, end * FRAME) for start, end in wide]


def _runs(mask: NDArray[np.bool_]) -> list[Span]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _joined(spans: Iterable[Span], pause: int) -> list[Span]:
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < pause:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


@dataclass(frozen=True, eq=False, slots=True)
class Said:
    """A turn's sound, and where in it speech is."""

    samples: Floats  # (n,) mono at 16 kHz; begins and ends with speech
    speech: list[Span]


class SpokenTrack:
    """Clips of one person said one after the other, which turns are taken from, each sample once."""

    def __init__(self) -> None:
        self._clips: list[Floats] = []
        self._speech: list[Span] = []
        self._length = 0
        self._at = 0  # the next turn begins here or later
        self._sound: Floats | None = None

    def add(self, samples: Floats) -> None:
        """Another clip, without the silence before and after its speech; one without speech is left out."""
        found = phrases(samples)
        if not found:
            return
        first, last = found[0][0], found[-1][1]
        gap = SILENCE if self._length else 0
        self._clips += [np.zeros(gap, np.float32), samples[first:last]]
        self._speech += [(self._length + gap + a - first, self._length + gap + b - first) for a, b in found]
        self._length += gap + last - first
        self._sound = None

    @property
    def left(self) -> int:
        """Samples of speech that no turn has taken yet."""
        return sum(end - max(start, self._at) for start, end in self._speech if end > self._at)

    @property
    def power(self) -> float:
        """Mean square of the speech."""
        sound = self._joined_clips()
        return float(np.mean(np.concatenate([sound[a:b] for a, b in self._speech]) ** 2)) if self._speech else 0.0

    def take(self, length: int, least: int) -> Said | None:
        """The next turn: about `length` samples, of no less than `least`; None when less is left.

        It ends with a phrase that ends within half a second of that, else it is cut where it is quietest.
        """
        rest = [(max(start, self._at), end) for start, end in self._speech if end > self._at]
        if not rest:
            return None
        start = rest[0][0]
        if rest[-1][1] - start < least:
            return None
        end = self._end(rest, start + length, start + least)
        self._at = end
        samples = self._joined_clips()[start:end].copy()
        ramp = np.linspace(0.0, 1.0, FADE, dtype=np.float32)
        samples[:FADE] *= ramp
        samples[-FADE:] *= ramp[::-1]
        return Said(samples, [(a - start, min(b, end) - start) for a, b in rest if a < end])

    def _end(self, rest: list[Span], wanted: int, least: int) -> int:
        ends = [end for _, end in rest if end >= least]
        near = min(ends, key=lambda end: abs(end - wanted))
        inside = any(a < wanted < b for a, b in rest)
        if not inside or abs(near - wanted) <= NEAR:
            # Past the last phrase that fits there is silence, which belongs to nobody.
            before = [end for end in ends if end <= wanted]
            return near if abs(near - wanted) <= NEAR or not before else before[-1]
        sound = self._joined_clips()
        cuts = range(max(least, wanted - NEAR // 2), wanted + NEAR // 2, FRAME)
        inner = [cut for cut in cuts if any(a < cut <= b for a, b in rest)] or [wanted]
        return min(inner, key=lambda cut: float(np.sum(sound[cut - FRAME // 2 : cut + FRAME // 2] ** 2)))

    def _joined_clips(self) -> Floats:
        if self._sound is None:
            self._sound = np.concatenate([np.zeros(0, np.float32), *self._clips])
        return self._sound
