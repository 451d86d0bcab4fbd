"""A source that can be paused and recorded while it is heard, and whose last minute is kept."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType

from stream.errors import OutputError
from stream.recent import Recent
from stream.recorded import POLL_S
from stream.recording import Recording, open_recording
from stream.records import Block, Notice
from stream.session import Source, Wrapped

__all__ = ["Steered"]


class Steered(Wrapped):
    """As its source, and obeys meanwhile. What it obeys may be called from any thread.

    A pause is no loss: the clock stands still, as that of a tape recorder. A file waits; what a microphone hears is
    dropped unheard, and what follows does not continue the turn before.

    Args:
        source: what is heard.

    Attributes:
        recent: the last minute.
        recorded: files that `record` has begun.
        on_problem: told in one line when a recording cannot be written any more; the session goes on.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.on_problem: Callable[[str], None] = lambda _: None
        self.recent = Recent(self.rate)
        self.recorded: list[str] = []
        self._paused = self._stopped = False
        self._dropped = 0  # samples that were not heard because of pauses
        self._end = 0  # one past the last sample given, at `rate`
        self._recording: Recording | None = None
        self._recorded_from = 0  # where in the stream the recording begins, at `rate`
        self._lock = Lock()  # of the recording

    @property
    def paused(self) -> bool:
        """Whether nothing is heard."""
        return self._paused

    @property
    def recording(self) -> bool:
        """Whether `record` is at work."""
        return self._recording is not None

    def pause(self, paused: bool) -> None:
        """Stop hearing, or go on."""
        self._paused = paused
        if hasattr(self._source, "held"):
            self._source.held = paused

    def record(self, path: str | Path) -> None:
        """Keep the sound from here on.

        Raises:
            UsageError, OutputError: see `open_recording`.
        """
        recording = open_recording(path, self.rate)
        self.end_recording()
        with self._lock:
            self._recording, self._recorded_from = recording, self._end
            self.recorded.append(str(path))

    def end_recording(self) -> None:
        """Close the recording, if there is one."""
        with self._lock:
            if self._recording is not None:
                self._recording.close()
            self._recording = None

    def blocks(self) -> Iterator[Block | Notice]:
        """What the source gives while there is no pause."""
        told = False  # that there is a pause
        for heard in self._source.blocks():
            if isinstance(heard, Notice):
                yield heard
                continue
            if self._paused and hasattr(self._source, "held"):
                while self._paused and not self._stopped:
                    time.sleep(POLL_S)
            elif self._paused:
                if not told:
                    yield Notice("paused", waiting=True)
                told = True
                self._dropped += len(heard.samples)
                continue
            elif told:
                yield Notice("listening again")
                told = False
            block = replace(heard, start=heard.start - self._dropped)
            self._end = block.start + len(block.samples)
            self._keep(block)
            yield block

    def _keep(self, block: Block) -> None:
        self.recent.push(block)
        try:
            with self._lock:
                if self._recording is not None:
                    self._recording.write(replace(block, start=block.start - self._recorded_from))
        except OutputError as error:
            self._recording = None
            self.on_problem(str(error))

    def stop(self) -> None:
        """Stop the source."""
        self._stopped = True
        super().stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_recording()
        super().__exit__(kind, error, trace)
