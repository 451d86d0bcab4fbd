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

__all__ = ["Source", "Wrapped", "run_session", "stopped_by_signals"]


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


class Wrapped:
    """A source that does something with the sound of another; what it says of itself is the other's."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def name(self) -> str:
        """The source's."""
        return self._source.name

    @property
    def rate(self) -> int:
        """The source's."""
        return self._source.rate

    @property
    def latency_samples(self) -> int:
        """The source's."""
        return self._source.latency_samples

    @property
    def loss(self) -> Loss:
        """The source's."""
        return self._source.loss

    @property
    def lag_samples(self) -> int:
        """The source's."""
        return self._source.lag_samples

    def stop(self) -> None:
        """Stop the source."""
        self._source.stop()

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.__exit__(kind, error, trace)


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
    told = _Outputs(outputs, source, recognizer, goes_on_alone=goes_on_alone)
    try:
        with stopped_by_signals(source):
            for heard in source.blocks():
                if isinstance(heard, Notice):
                    told.notice(heard)
                else:
                    told.write(recognizer.push(heard, source.loss, source.lag_samples))
    finally:
        told.write(recognizer.flush())
        told.end()
    if told.failed:
        raise told.failed


class _Outputs:
    """The outputs that still take something."""

    def __init__(
        self, outputs: Sequence[Output], source: Source, recognizer: Recognizer, *, goes_on_alone: bool
    ) -> None:
        self._left = list(outputs)
        self._source, self._recognizer = source, recognizer
        self._goes_on_alone = goes_on_alone
        self.failed: OutputError | None = None  # the first error

    def write(self, events: Iterable[Turn | Gap]) -> None:
        for event in events:
            if isinstance(event, Gap):
                start, end = event.start, event.end
                self._each(lambda output, start=start, end=end: output.gap(start, end))  # type: ignore[misc]
            else:
                self._each(lambda output, turn=event: output.write(turn))  # type: ignore[misc]

    def notice(self, notice: Notice) -> None:
        self.write(self._recognizer.notice(notice, self._source.name))
        now = self._recognizer.duration
        self._each(lambda output: output.notice(now, notice.text))

    def end(self) -> None:
        duration, loss, gaps = self._recognizer.duration, self._source.loss, self._recognizer.gaps
        self._each(lambda output: output.end(duration, loss, gaps))

    def _each(self, put: Callable[[Output], None]) -> None:
        for output in tuple(self._left):
            try:
                put(output)
            except OutputError as error:
                self._left.remove(output)
                self.failed = self.failed or error
                if not self._goes_on_alone and not any(each.keeps_decisions for each in self._left):
                    raise
                self.notice(Notice(str(error), trouble=True))
            else:
                trouble, output.trouble = output.trouble, ""
                if trouble:
                    self.notice(Notice(trouble, trouble=True))


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
