"""What a bench came to: all of it in one record, as JSON and as tables."""

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stream.bench import HOP_MS, Growth, Spent, Streams
from stream.fresh_process import Fresh
from stream.race import Way
from stream.soak import Soak

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Bench", "Machine", "lines_and_tables", "this_machine", "to_json"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured."""

    processor: str
    cores: int  # that this process may use
    system: str
    python: str
    load: float | None  # processes that wanted a core in the minute before; None where the system does not say


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that was measured."""

    machine: Machine
    source: str  # what was heard
    rate: int  # its samples per second
    people: int  # enrolled
    stages: tuple[Spent, ...]  # the whole last
    streams: Streams
    growth: tuple[Growth, ...]
    fresh: Fresh
    soak: Soak
    ways: tuple[Way, ...]  # empty unless others were asked for

    @property
    def real_time_factor(self) -> float:
        """Seconds that a second of sound takes, on average."""
        return self.stages[-1].mean_ms / HOP_MS


def this_machine() -> Machine:
    """What can be told about it without asking for more than the system gives to everybody."""
    processor = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        named = [line for line in cpuinfo.read_text(errors="replace").splitlines() if line.startswith("model name")]
        processor = named[0].partition(":")[2].strip() if named else processor
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Machine(processor, cores, platform.platform(terse=True), platform.python_version(), load)


def to_json(bench: Bench) -> str:
    """All figures, unrounded."""
    return json.dumps({"format": 1, **asdict(bench), "real_time_factor": bench.real_time_factor}, indent=2)


def lines_and_tables(bench: Bench) -> "Iterator[str | Table]":
    """What a terminal shows, from top to bottom."""
    machine, whole, fresh, soak = bench.machine, bench.stages[-1], bench.fresh, bench.soak
    yield f"{machine.processor}, {machine.cores} cores, Python {machine.python}, {machine.system}; one thread"
    if machine.load is not None and machine.load > machine.cores / 2:
        yield (
            f"The machine was busy (load {machine.load:.1f}): the times are longer than they would be alone. "
            "Ratios are of processor time, and what is compared took turns."
        )
    yield f"{whole.hops} hops of {HOP_MS:.0f} ms from {bench.source} ({bench.rate} Hz), {bench.people} people enrolled"
    yield ""
    table = _table("Stage, ms per hop", "p50", "p95", "p99", "mean", "share")
    for s in bench.stages:
        figures = (f"{ms:.3f}" for ms in (s.p50_ms, s.p95_ms, s.p99_ms, s.mean_ms))
        table.add_row(s.stage, *figures, f"{100 * s.share:.0f} %", style="bold" if s is whole else "")
    yield table
    yield ""
    factor = bench.real_time_factor
    yield f"Real-time factor {factor:.4f}: {1 / factor:.0f} times faster than real time."
    streams = bench.streams
    yield (
        f"One core carries {streams.per_core} streams ({streams.cpu_ms:.3f} ms of processor time per hop, "
        f"{streams.streams} in turn)."
    )
    yield (
        f"From the command to the first decision {fresh.first_decision_s:.2f} s "
        f"(median of {fresh.runs}, slowest {fresh.slowest_s:.2f})."
    )
    if fresh.memory_mb is not None:
        yield f"A replay of the whole file takes {fresh.memory_mb:.0f} MB of memory at most."
    yield ""
    table = _table("What grows", "", "p50 ms", "p95 ms", "CPU ms", "ratio")
    for g in bench.growth:
        table.add_row(g.of, f"{g.size:,g}", f"{g.p50_ms:.3f}", f"{g.p95_ms:.3f}", f"{g.cpu_ms:.3f}", f"{g.ratio:.2f}")
    yield table
    yield ""
    table = _table("Length of a stream", "p50 ms", "memory MB", "open files")
    for m in soak.marks:
        memory = "-" if m.memory_mb is None else f"{m.memory_mb:.1f}"
        table.add_row(_length(m.seconds), f"{m.p50_ms:.3f}", memory, "-" if m.files is None else str(m.files))
    yield table
    yield f"Measured in {soak.wall_s:.0f} s; its clock is off by {soak.clock_off} samples."
    if soak.apart is not None:
        yield (
            f"In its last {soak.compared} hops, likelihood ratios were at most {soak.apart:.1e} (natural log) apart "
            "from a fresh recognizer's."
        )
    if bench.ways:
        yield ""
        table = _table("One decision", "p50 ms", "p95 ms", "CPU ms", "ratio")
        for way in bench.ways:
            table.add_row(
                way.name,
                f"{way.p50_ms:.3f}",
                f"{way.p95_ms:.3f}",
                f"{way.cpu_ms:.3f}",
                f"{way.ratio:.1f}",
                style="bold",
            )
        yield table


def _table(first: str, *others: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _length(seconds: float) -> str:
    """A length in words.

    >>> _length(90), _length(600), _length(3_600), _length(86_400)
    ('90 s', '10 min', '1 h', '24 h')
    """
    for size, unit in ((3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
