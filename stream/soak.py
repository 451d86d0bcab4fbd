"""A stream of hours or days, as fast as it goes: does anything grow, drift or leak?"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from stream.bench import OnDone, Sound, hops_of, timed_ms
from stream.clock import SAMPLE_RATE
from stream.memory import memory_mb, open_files
from stream.recognizer import Recognizer, ScorerStage, Stages
from stream.records import Embedding, Scores

__all__ = ["Mark", "Soak", "soak"]

MARKS_S = (60.0, 600.0, 3_600.0, 86_400.0)
LATELY_S = 60.0  # what a mark's time for a hop is taken from
AGAIN_S = 60.0  # at the end, that a fresh recognizer hears as well
SETTLE_S = 10.0  # until it remembers as much as the old one: windows and network reach back 4.6 s


@dataclass(frozen=True, slots=True)
class Mark:
    """A long stream, at one moment."""

    seconds: float  # of sound so far
    hops: int  # timed: the last before this
    p50_ms: float
    memory_mb: float | None  # resident, of this process; None where the system does not say
    files: int | None  # open in this process; None where the system does not say


@dataclass(frozen=True, slots=True)
class Soak:
    """A long stream as a whole."""

    marks: tuple[Mark, ...]
    wall_s: float
    clock_off: int  # samples, at 16 kHz, between its clock and the sound that it was given
    compared: int  # hops that a fresh recognizer heard as well
    apart: float | None  # most that a likelihood ratio then differed, in natural-log units; None if none was compared


def soak(stages: Callable[[], Stages], sound: Sound, seconds: float, on_done: OnDone) -> Soak:
    """Hear the sound for so long, again and again; over the last minute, a fresh recognizer hears it as well.

    Args:
        stages: makes the stages.
        sound: what is heard.
        seconds: of it.
        on_done: is told how many hops are done, every minute of sound.
    """
    end, minute = hops_of(seconds), hops_of(LATELY_S)
    marks_at = {hops_of(mark) for mark in MARKS_S if mark < seconds} | {end}
    old, again = _Ear(stages(), sound), end - hops_of(AGAIN_S)
    fresh: _Ear | None = None
    marks, lately, apart, heard = [], [], [], 0
    began_s = time.monotonic()
    for hop, block in enumerate(islice(sound.blocks(), end)):
        if hop == again:
            fresh = _Ear(stages(), sound)
        lately.append(timed_ms(old.recognizer.push, block)[0])
        heard = block.start + len(block.samples)
        if fresh is not None:
            fresh.recognizer.push(block)
            if hop >= again + hops_of(SETTLE_S) and (differs := fresh.differs(old)) is not None:
                apart.append(differs)
        if hop + 1 in marks_at:
            marks.append(Mark(heard / sound.rate, len(lately), float(np.median(lately)), memory_mb(), open_files()))
        if (hop + 1) % minute == 0 or hop + 1 == end:
            lately.clear()
            on_done("long run", hop + 1, end)
    off = old.recognizer.duration - round(heard * SAMPLE_RATE / sound.rate)
    return Soak(tuple(marks), time.monotonic() - began_s, off, len(apart), max(apart, default=None))


class _Ear:
    """A recognizer whose newest scores can be looked at."""

    def __init__(self, stages: Stages, sound: Sound) -> None:
        self.newest: Scores | None = None
        self.recognizer = Recognizer(
            replace(stages, scorer=lambda: _Tap(stages.scorer(), self)), sound.name, sound.rate
        )

    def differs(self, other: "_Ear") -> float | None:
        """Most that two likelihood ratios of the newest hop are apart; None if their hops are not the same."""
        one, two = self.newest, other.newest
        return float(np.abs(one.llr - two.llr).max()) if one and two and one.start == two.start else None


class _Tap:
    """A scorer that shows what it gave."""

    def __init__(self, scorer: ScorerStage, ear: _Ear) -> None:
        self._scorer, self._ear = scorer, ear
        self.names, self.needs_sound, self.latency_samples = scorer.names, scorer.needs_sound, scorer.latency_samples

    def push(self, embedding: Embedding) -> list[Scores]:
        found = self._scorer.push(embedding)
        self._ear.newest = found[-1] if found else self._ear.newest
        return found

    def flush(self) -> list[Scores]:
        return self._scorer.flush()
