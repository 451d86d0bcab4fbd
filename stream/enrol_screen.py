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
    def snr_db(self) -> float:
        """Speech against noise, dB; NaN before it is known."""

    @property
    def verdict(self) -> str:
        """How the sample hangs together, in a word, or nothing."""

    @property
    def advice(self) -> str:
        """What would make it better, or nothing."""


class EnrolScreen:
    """A context manager; `show` draws the newest progress.

    Args:
        name: who is enrolled.
        source: what is listened to.
        quiet: show nothing.
    """

    def __init__(self, name: str, source: str, *, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._title = f"{safe_text(name)} from {safe_text(source)}"
        self._newest: Heard | None = None
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),  # what is said needs the width more
            TextColumn("{task.percentage:>3.0f} %  {task.fields[said]}", markup=False),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(safe_text(name), total=100, said=f"listening to {safe_text(source)} ...")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._newest and self._bar.disable and not self._quiet:
            said = "; ".join(filter(None, [self._figures(self._newest), self._newest.advice]))
            print(f"{self._title}: {said}", file=sys.stderr)  # noqa: T201 - it is a screen

    def show(self, progress: Heard) -> None:
        """Draw it."""
        self._newest = progress
        self._bar.update(self._task, completed=progress.percent, said=progress.advice or self._figures(progress))

    @staticmethod
    def _figures(progress: Heard) -> str:
        said = [f"{progress.speech_s:.0f} s of speech"]
        said.append(f"{progress.level_db:.0f} dB" if math.isfinite(progress.level_db) else "silence")
        if math.isfinite(progress.snr_db):
            said.append(f"SNR {progress.snr_db:.0f} dB")
        if progress.verdict:
            said.append(f"coherence {progress.verdict}")
        return ", ".join(said)
