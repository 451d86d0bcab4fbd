"""One session: a source, the recognizer, and where its decisions go, from start to a clean end."""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from stream.errors import OutputError
from stream.outputs import Output
from stream.recognizer import Recognizer
from stream.records import Block, Gap, Loss, Notice, Turn

__all__ = ["Source", "run_session", "stopped_by_signals"]


class Source(Protocol):
    """Where sound comes from. A microphone, a file and standard input are the same to the rest."""

    @property
    def name(self) -> str:
        """What it is called, for eyes."""

    @property
    def rate(self) -> int:
        """Samples per second of the blocks."""

    @property
    def latency_samples(self) -> int:
        """Samples, at `rate`, from the air to a block."""

    @property
    def loss(self) -> Loss:
        """What was lost so far."""

    @property
    def lag_samples(self) -> int:
        """Samples, at `rate`, that it has and that nobody has taken yet."""

    def blocks(self) -> Iterator[Block | Notice]:
        """The sound, until it ends or is stopped, and what there is to say of it."""

    def stop(self) -> None:
        """Make `blocks` end; may be called from a signal handler."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and close."""


def run_session(
    source: Source, recognizer: Recognizer, outputs: Sequence[Output], *, goes_on_alone: bool = False
) -> None:
    """Hear a source to its end, or until Ctrl-C or a polite kill, and write every decision.

    When the source fails half-way, what was heard is decided and written before the error goes on. An output that fails
    is given up, which the others are told, and the session goes on with them; its error comes at the end.

    Args:
        source: what is heard.
        recognizer: a fresh one.
        outputs: where decisions go.
        goes_on_alone: whether it has a point when all outputs have failed.

    Raises:
        OutputError: an output failed.
    """
    told = _Outputs(outputs, goes_on_alone=goes_on_alone)
    try:
        with stopped_by_signals(source):
            for heard in source.blocks():
                if isinstance(heard, Notice):
                    told.write(recognizer.notice(heard, source.name), recognizer.duration)
                    told.notice(recognizer.duration, heard.text)
                else:
                    told.write(recognizer.push(heard, source.loss, source.lag_samples), recognizer.duration)
    finally:
        told.write(recognizer.flush(), recognizer.duration)
        told.end(recognizer.duration, source.loss, recognizer.gaps)
    if told.failed:
        raise told.failed


class _Outputs:
    """The outputs that still take something."""

    def __init__(self, outputs: Sequence[Output], *, goes_on_alone: bool) -> None:
        self._left = list(outputs)
        self._goes_on_alone = goes_on_alone
        self.failed: OutputError | None = None  # the first error

    def write(self, events: Iterable[Turn | Gap], now: int) -> None:
        for event in events:
            if isinstance(event, Gap):
                start, end = event.start, event.end
                self._each(lambda output, start=start, end=end: output.gap(start, end), now)  # type: ignore[misc]
            else:
                self._each(lambda output, turn=event: output.write(turn), now)  # type: ignore[misc]

    def notice(self, now: int, text: str) -> None:
        self._each(lambda output: output.notice(now, text), now)

    def end(self, duration: int, loss: Loss, gaps: int) -> None:
        self._each(lambda output: output.end(duration, loss, gaps), duration)

    def _each(self, put: Callable[[Output], None], now: int) -> None:
        for output in tuple(self._left):
            try:
                put(output)
                if trouble := output.trouble:
                    output.trouble = ""
                    self.notice(now, trouble)
            except OutputError as error:
                self._left.remove(output)
                self.failed = self.failed or error
                if not self._goes_on_alone and not any(each.keeps_decisions for each in self._left):
                    raise
                self.notice(now, str(error))


@contextmanager
def stopped_by_signals(source: Source) -> Iterator[None]:
    """While this lasts, Ctrl-C or a polite kill ends the stream as if it had run out.

    A second Ctrl-C is the user's last word. Outside the main thread, which alone can hear signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        source.stop()

    wanted = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # `nohup` means it
        wanted.append(signal.SIGHUP)  # the terminal was closed
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
