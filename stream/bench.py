"""What recognizing costs on this machine: stage by stage, in many streams, and as something grows.

Whatever is compared takes turns, hop by hop: so what else the machine does hits all alike.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import UsageError
from stream.recognizer import Recognizer, Stages
from stream.records import Block, FloatArray
from stream.replay import open_source
from stream.stopwatch import Stopwatch

__all__ = [
    "HOP_MS",
    "Growth",
    "OnDone",
    "Sound",
    "Spent",
    "Streams",
    "by_stage",
    "grow",
    "hops_of",
    "many_streams",
    "middle_and_worst",
    "timed_ms",
]

HOP_MS = 1_000 * HOP_SAMPLES / SAMPLE_RATE
"""Milliseconds of sound that a hop lasts."""

# A machine with other work to do takes the processor away, from a long call more often than from a short one: what is
# compared is compared by processor time, where the system counts it finely (Windows does not).
_FINE = time.get_clock_info("thread_time").resolution <= 1e-6
processor_ns = time.thread_time_ns if _FINE else time.perf_counter_ns

REST, WHOLE = "the rest", "whole recognizer"
LEAST_SOUND_S = 5  # of a file: the longest window and one hop more
MOST_SOUND_S = 600  # of a file: what is longer is used up to here
WARM_HOPS = 50  # not counted: the first hops fill windows and caches
AT_ONCE = 16  # streams in turn on one thread

OnDone = Callable[[str, int, int], None]
"""Is told what is measured, how much of it is done, and of how much."""


class Sound:
    """The sound of a file, again and again without end, in blocks of a hop.

    Args:
        file: any recording; what lies beyond ten minutes is left out.

    Attributes:
        rate: samples a second.
        seconds: how long it is until it begins again.

    Raises:
        FileError: see `open_source`.
        UsageError: it is shorter than 5 s.
    """

    def __init__(self, file: Path) -> None:
        with open_source(file, None) as source:
            self.name, self.rate = source.name, source.rate
            self._step = self.rate * HOP_SAMPLES // SAMPLE_RATE
            most = MOST_SOUND_S * self.rate // self._step
            samples = np.concatenate([block.samples for block in islice(source.blocks(), most)])
        self._hops = len(samples) // self._step
        if self._hops < hops_of(LEAST_SOUND_S):
            raise UsageError(
                f"expected at least {LEAST_SOUND_S} s of sound to measure with, got {len(samples) / self.rate:.1f} s; "
                "give a longer file, or none for the demo's"
            )
        self.samples: FloatArray = samples[: self._hops * self._step]
        self.seconds = len(self.samples) / self.rate

    def blocks(self, hop: int = 0) -> Iterator[Block]:
        """One hop after another, from a hop on."""
        for i in count(hop):
            at = i % self._hops * self._step
            yield Block(i * self._step, self.samples[at : at + self._step], self.rate)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a stage takes of the 100 ms that a hop lasts."""

    stage: str
    hops: int  # that were timed
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    share: float  # of the whole's mean


@dataclass(frozen=True, slots=True)
class Growth:
    """What a hop costs at one size of something."""

    of: str  # what grows
    size: float
    hops: int
    p50_ms: float
    p95_ms: float
    cpu_ms: float  # of processor time, p50
    ratio: float  # of that, to the smallest size


@dataclass(frozen=True, slots=True)
class Streams:
    """Several streams on one thread, in turn."""

    streams: int
    hops: int  # of each
    cpu_ms: float  # mean processor time of a hop
    per_core: int  # streams whose hops fit into 100 ms of processor time


def by_stage(stages: Callable[[Stopwatch], Stages], sound: Sound, seconds: float, on_done: OnDone) -> tuple[Spent, ...]:
    """Every stage in the order of the path, then the rest, then the whole, whose share is 1.

    The rest is the recognizer itself: level, snapshot, and the stopwatch.

    Args:
        stages: makes the stages, watched.
        sound: what is heard.
        seconds: so much of it.
        on_done: see `OnDone`.
    """
    watch = Stopwatch()
    recognizer = Recognizer(stages(watch), sound.name, sound.rate)
    hops = hops_of(seconds)
    laps: list[dict[str, float]] = []
    for i, block in enumerate(islice(sound.blocks(), WARM_HOPS + hops)):
        began = time.perf_counter_ns()
        recognizer.push(block)
        whole = (time.perf_counter_ns() - began) / 1e6
        lap = watch.lap()
        if i >= WARM_HOPS:
            laps.append(lap | {REST: whole - sum(lap.values()), WHOLE: whole})
            on_done("stages", len(laps), hops)
    columns = {name: np.array([lap[name] for lap in laps]) for name in laps[0]}
    mean = columns[WHOLE].mean()
    return tuple(
        Spent(name, hops, float(ms.mean()), float(p50), float(p95), float(p99), float(ms.mean() / mean))
        for name, ms in columns.items()
        for p50, p95, p99 in [np.percentile(ms, (50, 95, 99))]
    )


Record = TypeVar("Record")


def grow(
    of: str, sizes: Mapping[float, Callable[[Record], object]], records: Sequence[Record], on_done: OnDone
) -> tuple[Growth, ...]:
    """The same records at every size, in turn.

    Args:
        of: what grows.
        sizes: what hears a record, by size, the smallest first.
        records: hops.
        on_done: see `OnDone`.
    """
    spent: dict[float, list[tuple[float, float]]] = {size: [] for size in sizes}
    for i, record in enumerate(records):
        for size, push in sizes.items():
            spent[size].append(timed_ms(push, record))
        on_done(of, i + 1, len(records))
    timed = {size: np.array(ms[min(WARM_HOPS, len(ms) // 2) :]) for size, ms in spent.items()}
    first = float(np.median(next(iter(timed.values()))[:, 1]))
    return tuple(
        Growth(of, size, len(ms), p50, p95, cpu, cpu / first)
        for size, ms in timed.items()
        for p50, p95, cpu in [middle_and_worst(ms)]
    )


def many_streams(stages: Callable[[], Stages], sound: Sound, seconds: float, on_done: OnDone) -> Streams:
    """How many streams one core carries: as many in turn as a cache does not hold, by processor time."""
    recognizers = [Recognizer(stages(), sound.name, sound.rate) for _ in range(AT_ONCE)]
    hops, spent = hops_of(seconds), 0
    for i, block in enumerate(islice(sound.blocks(), WARM_HOPS + hops)):
        began = processor_ns()
        for recognizer in recognizers:
            recognizer.push(block)
        spent += (processor_ns() - began) * (i >= WARM_HOPS)
        on_done("streams", max(0, i + 1 - WARM_HOPS), hops)
    cpu_ms = spent / 1e6 / hops / AT_ONCE
    return Streams(AT_ONCE, hops, cpu_ms, int(HOP_MS / cpu_ms))


def hops_of(seconds: float) -> int:
    """Hops in so many seconds, at least one."""
    return max(1, round(seconds * SAMPLE_RATE / HOP_SAMPLES))


def timed_ms(push: Callable[[Record], object], record: Record) -> tuple[float, float]:
    """Milliseconds that one call takes: by the wall, and of processor time."""
    began, busy = time.perf_counter_ns(), processor_ns()
    push(record)
    return (time.perf_counter_ns() - began) / 1e6, (processor_ns() - busy) / 1e6


def middle_and_worst(ms: NDArray[np.float64]) -> tuple[float, float, float]:
    """Of (n, 2) times as `timed_ms` gives them: p50 and p95 by the wall, and p50 of processor time."""
    p50, p95 = np.percentile(ms[:, 0], (50, 95))
    return float(p50), float(p95), float(np.median(ms[:, 1]))
