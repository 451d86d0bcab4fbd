"""One session: a source, the recognizer, and where its decisions go, from start to a clean end."""

import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

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


def run_session(source: Source, recognizer: Recognizer, outputs: Sequence[Output]) -> None:
    """Hear a source to its end, or until Ctrl-C or a polite kill, and write every decision.

    When the source fails half-way, what was heard is decided and written before the error goes on.
    """
    try:
        with stopped_by_signals(source):
            for heard in source.blocks():
                if isinstance(heard, Notice):
                    _write(recognizer.notice(heard, source.name), outputs)
                    for output in outputs:
                        output.notice(recognizer.duration, heard.text)
                else:
                    _write(recognizer.push(heard, source.loss, source.lag_samples), outputs)
    finally:
        _write(recognizer.flush(), outputs)
        for output in outputs:
            output.end(recognizer.duration, source.loss, recognizer.gaps)


def _write(events: Iterable[Turn | Gap], outputs: Sequence[Output]) -> None:
    for event in events:
        for output in outputs:
            if isinstance(event, Gap):
                output.gap(event.start, event.end)
            else:
                output.write(event)


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
