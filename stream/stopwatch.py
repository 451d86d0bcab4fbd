"""How long every stage takes, hop by hop, without a stage knowing that it is watched."""

import time
from typing import Any

__all__ = ["Stopwatch"]


class Stopwatch:
    """Wraps stages, and adds up what each of them takes until the next lap.

    >>> class Sum:
    ...     latency_samples = 0
    ...     def push(self, record): return [sum(record)]
    >>> watch = Stopwatch()
    >>> stage = watch.timed("sum", Sum())
    >>> stage.push([1, 2]), stage.latency_samples, list(watch.lap())
    ([3], 0, ['sum'])
    """

    def __init__(self) -> None:
        self._spent: dict[str, int] = {}  # nanoseconds by stage, in the order of the stages

    def timed(self, name: str, stage: Any) -> Any:
        """A stage that does what `stage` does, and is watched."""
        self._spent.setdefault(name, 0)
        return _Timed(name, stage, self._spent)

    def lap(self) -> dict[str, float]:
        """Milliseconds by stage since the lap before; 0 where a stage was not needed."""
        lap = {name: spent / 1e6 for name, spent in self._spent.items()}
        self._spent.update(dict.fromkeys(self._spent, 0))
        return lap


class _Timed:
    def __init__(self, name: str, stage: Any, spent: dict[str, int]) -> None:
        self._name, self._stage, self._spent = name, stage, spent

    def push(self, *records: Any) -> list[Any]:
        began = time.perf_counter_ns()
        out: list[Any] = self._stage.push(*records)
        self._spent[self._name] += time.perf_counter_ns() - began
        return out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)
