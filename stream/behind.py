"""An output that is written on a thread of its own, so that a source that cannot wait never has to.

A pipe whose reader stopped, a terminal that was halted, a disk that hangs: what is decided meanwhile is kept in memory,
in order, up to a bound. Beyond it, guesses are dropped first, and what is dropped is counted and said.
"""

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from stream.errors import LivespeakerError, OutputError
from stream.outputs import Output
from stream.records import Loss, Turn

__all__ = ["Behind"]

_MOST_GUESSES = 1_000  # what waits, beyond which guesses, which nobody must have, are dropped: some two minutes of talk
_MOST = 20_000  # what waits, beyond which everything is dropped: some hours of final turns, a few megabytes
_PATIENCE_S = 2.0  # how long the end waits for an output that takes nothing


class Behind(Output):
    """Another output, written by a thread; every call returns at once.

    An error of the thread's is raised by the next call. Closing waits for what is left, as long as something is taken.

    Args:
        output: where it goes; closed with this one.
        name: what it is called in a message.

    Raises:
        OutputError: from `close`: it was not taken to the end; the message says how much is missing.
    """

    def __init__(self, output: Output, name: str) -> None:
        self.keeps_decisions = output.keeps_decisions
        self._output, self._name = output, name
        self._waiting: deque[Callable[[], None]] = deque()
        self._more = threading.Semaphore(0)  # one permit for each that waits, and one for the end
        self._taken = 0
        self._dropped = 0
        self._ending = False
        self._error: LivespeakerError | None = None
        self._thread = threading.Thread(target=self._run, name=f"output {name}", daemon=True)
        self._thread.start()

    def write(self, turn: Turn) -> None:
        """Put down one turn, soon."""
        self._put_behind(lambda: self._output.write(turn), _MOST if turn.final else _MOST_GUESSES)

    def gap(self, start: int, end: int) -> None:
        """Put down lost sound, soon."""
        self._put_behind(lambda: self._output.gap(start, end), _MOST)

    def notice(self, at: int, text: str) -> None:
        """Put down what happened to the source, soon."""
        self._put_behind(lambda: self._output.notice(at, text), _MOST)

    def end(self, duration: int, loss: Loss, gaps: int) -> None:
        """Put down the end, soon."""
        if self._dropped:
            text = f"{self._dropped} decisions were not written, because {self._name} was not taken"
            self._put_behind(lambda: self._output.notice(duration, text), _MOST + 2)
        self._put_behind(lambda: self._output.end(duration, loss, gaps), _MOST + 2)

    def close(self) -> None:
        """Wait for the thread while it gets on, then close the output. Closing again does nothing."""
        if self._ending:
            return
        self._ending = True
        self._more.release()
        taken, since_s = self._taken, monotonic()
        while self._thread.is_alive() and monotonic() - since_s < _PATIENCE_S:
            self._thread.join(0.05)
            if self._taken != taken:
                taken, since_s = self._taken, monotonic()
        if self._thread.is_alive():  # it hangs in the system, holding the file; it ends with the program
            self._dropped += len(self._waiting) + 1
        else:
            self._output.close()
            self._raise_error()
        if self._dropped:
            raise OutputError(
                f"{self._name} was not taken: {self._dropped} decisions were not written; see that its reader goes on, "
                "or give a file on a disk that answers"
            )

    def _put_behind(self, put: Callable[[], None], most: int) -> None:
        self._raise_error()
        if len(self._waiting) >= most:
            if not self._dropped:
                self.trouble = f"{self._name} is not taken: decisions for it are dropped"
            self._dropped += 1
            return
        self._waiting.append(put)
        self._more.release()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        try:
            while self._more.acquire() and self._waiting:  # without anything that waits, the permit is the end's
                self._waiting.popleft()()
                self._taken += 1
        except LivespeakerError as error:
            self._error = error
