"""How far an enrolment has come: a bar in a terminal, a line at the end without one."""

import math
import sys
from types import TracebackType
from typing import Protocol, Self

from stream.text import safe_text

__all__ = ["EnrolScreen", "Heard"]


class Heard(Protocol):
    """What an enrolment tells about itself."""

    @property
    def percent(self) -> int:
        """Of the speech that makes a good voice."""

    @property
    def speech_s(self) -> float:
        """Seconds of speech so far."""

    @property
    def level_db(self) -> float:
        """RMS of the speech, dB relative to full scale."""

    @property
    def advice(self) -> str:
        """What would make it better, or nothing."""


class EnrolScreen:
    """A context manager; `show` draws the newest progress.

    Args:
        name: who is enrolled.
        source: what is listened to.
    """

    def __init__(self, name: str, source: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._title = f"{safe_text(name)} from {safe_text(source)}"
        self._newest: Heard | None = None
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[said]}", markup=False),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(self._title, total=100, said="listening ...")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._newest and self._bar.disable:
            print(f"{self._title}: {self._said(self._newest)}", file=sys.stderr)  # noqa: T201 - it is a screen

    def show(self, progress: Heard) -> None:
        """Draw it."""
        self._newest = progress
        self._bar.update(self._task, completed=progress.percent, said=self._said(progress))

    @staticmethod
    def _said(progress: Heard) -> str:
        level = f"{progress.level_db:.0f} dB" if math.isfinite(progress.level_db) else "silence"
        said = f"{progress.speech_s:.0f} s of speech, {level}"
        return f"{said}; {progress.advice}" if progress.advice else said
