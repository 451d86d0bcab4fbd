"""What a user waits for, and what it takes: `livespeaker replay` in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stream.bench import OnDone
from stream.errors import UsageError
from stream.memory import memory_mb
from stream.text import safe_text

__all__ = ["Fresh", "fresh_process"]

RUNS = 5


@dataclass(frozen=True, slots=True)
class Fresh:
    """A process, from the command on."""

    runs: int
    first_decision_s: float  # from the command to the first name, the median of all runs
    slowest_s: float  # of them
    memory_mb: float | None  # resident at most, over the whole file; None where the system does not say


def fresh_process(file: Path, profile: Path, on_done: OnDone) -> Fresh:
    """Start it some times, to the first decision, and the last time to the end of the file.

    Args:
        file: what is replayed, as fast as it goes.
        profile: the known people.
        on_done: is told how many starts are done.

    Raises:
        UsageError: there is no decision to wait for.
    """
    # Without -P, a folder called `stream` where the user happens to be would be taken for this one.
    begin = [sys.executable, "-P", "-c", "from stream.cli import main; main()"]
    command = [*begin, "replay", str(file), "--speed", "max", "--profile", str(profile), "--jsonl", "-"]
    first: list[float] = []
    memory: float | None = None
    for run in range(RUNS):
        on_done("starts", run, RUNS)
        took, memory = _run(command, to_the_end=run == RUNS - 1)
        first.append(took)
    on_done("starts", RUNS, RUNS)
    return Fresh(RUNS, median(first), max(first), memory)


def _run(command: Sequence[str], *, to_the_end: bool) -> tuple[float, float | None]:
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 - our own command
    assert process.stdout is not None  # noqa: S101 - for the type checker
    assert process.stderr is not None  # noqa: S101
    try:
        took = next((time.perf_counter() - began_s for line in process.stdout if b'"type": "turn"' in line), None)
        if took is None:
            last = process.stderr.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            said = safe_text(last[0]) if process.wait() and last else "no decision"
            raise UsageError(f"expected a recording in which somebody speaks, got: {said}; give another")
        if not to_the_end:
            return took, None
        memory = None
        for _ in process.stdout:  # it lives as long as its lines come; the last is its summary
            memory = memory_mb(process.pid, most=True) or memory
        return took, memory
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
        process.wait()
