"""How far a training has come: bars in a terminal, a line now and then without one."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from stream.text import safe_text

__all__ = ["TrainingScreen"]

PLAIN_EVERY_S = 60.0  # without a terminal, seconds between two lines about the same part


class TrainingScreen:
    """A context manager for `model.recipe.pretrain`, which calls the four methods.

    Files that are left out are named as they are met and counted at the end. It writes to standard error.

    Args:
        plain: lines instead of bars; as the terminal is, unless told.
        stopped: what is so after Ctrl-C.
        clock: seconds that only go on.
    """

    def __init__(
        self,
        plain: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        stopped: str = "Nothing was changed.",
    ) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self._plain = not self._console.is_terminal if plain is None else plain
        self._clock = clock
        self._stopped = stopped
        self._bars = Progress(
            TextColumn("{task.description:<9}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            console=self._console,
            # A step takes most of a second: rich's 30 s would know few of them.
            speed_estimate_period=300,
            disable=self._plain,
        )
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}  # when the last line about a part was written
        self._skipped = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        if self._skipped:
            self.say(f"Left out: {self._skipped} {'file' if self._skipped == 1 else 'files'}, named above.")
        if isinstance(error, KeyboardInterrupt):
            self.say(f"Stopped. {self._stopped}")

    def progress(self, what: str, done: int, total: int, loss: float | None = None) -> None:
        """So much of one part is done; `loss` is the training's, of the epoch so far."""
        said = "" if loss is None else f"loss {loss:.3f}"
        if not self._plain:
            if what not in self._tasks:
                # What an earlier run has done says nothing about the speed of this one.
                self._tasks[what] = self._bars.add_task(what, total=total, completed=done, said=said)
            self._bars.update(self._tasks[what], completed=done, said=said)
            return
        now = self._clock()
        if what not in self._told or done == total or now - self._told[what] >= PLAIN_EVERY_S:
            self._told[what] = now
            self.say(f"{what} {done} of {total}" + (f", {said}" if said else ""))

    def epoch(self, number: int, total: int, loss: float, seconds: float, eer: Mapping[str, float]) -> None:
        """An epoch is done and kept; `eer` is by corpus, in [0, 1]."""
        rates = ", ".join(f"{safe_text(corpus)} {100 * rate:.1f} %" for corpus, rate in eer.items())
        said = f"epoch {number} of {total}: loss {loss:.3f}, {seconds:.0f} s"
        self.say(f"{said}, equal error rate at 2 s: {rates}" if rates else said)

    def skip(self, line: str) -> None:
        """A file is left out, and why."""
        self._skipped += 1
        self.say(line)

    def say(self, line: str) -> None:
        """Something else to know."""
        self._console.print(safe_text(line))
