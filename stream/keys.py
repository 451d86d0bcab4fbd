"""Single keys from the terminal while a session runs, without waiting for Enter.

On POSIX the terminal is put into cbreak mode and back, however the session ends: Ctrl-C stays a signal. Windows has
`msvcrt`. Where standard input is no terminal of ours (a pipe, a job in the background) there are no keys.
"""

import codecs
import os
import re
import sys
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

__all__ = ["Keyboard", "can_read_keys", "split_keys"]

_POLL_S = 0.05  # Windows cannot wait for a key and for the end at once
_NAMED = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x15": "clear", "\x1b": "escape"}
# An arrow or a function key, as ECMA-48 writes it: one key that means nothing here, and not the letters in it.
_SEQUENCE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|O.)")


def split_keys(text: str) -> list[str]:
    r"""The keys that a terminal sent as `text`: a character each, or enter, backspace, clear (Ctrl-U), escape.

    >>> split_keys("Zoë\x7f\r"), split_keys("\x1b[A"), split_keys("\x1b")
    (['Z', 'o', 'ë', 'backspace', 'enter'], [], ['escape'])
    """
    plain = _SEQUENCE.sub("", text)
    return [_NAMED.get(each, each) for each in plain if each in _NAMED or each >= " "]


def can_read_keys() -> bool:
    """Standard input is a terminal, and this process is the one that it belongs to now."""
    try:
        if not sys.stdin.isatty():
            return False
        # A job in the background that touches the terminal's settings is stopped by the system.
        return sys.platform == "win32" or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):  # closed, or put there by a test or a notebook
        return False


class Keyboard:
    """Gives every key to `on_key`, on a thread of its own, until the `with` block ends.

    An error of `on_key` ends the keys, and is raised when the block ends.

    Args:
        on_key: called with what `split_keys` gives, one at a time.
    """

    def __init__(self, on_key: Callable[[str], None]) -> None:
        self._on_key = on_key
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._stop = Event()
        self._thread = Thread(target=self._run, name="keys", daemon=True)
        self._before: list[Any] | None = None
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        if sys.platform != "win32":
            self._wake, self._waker = os.pipe()
            self._cbreak()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if sys.platform != "win32":
            os.write(self._waker, b".")
        self._thread.join(timeout=1.0)  # what a key began may go on; the terminal is given back
        if sys.platform != "win32":
            import termios

            if self._before is not None:
                # Keys that nobody has read are not left to the shell.
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSAFLUSH, self._before)
            if not self._thread.is_alive():
                os.close(self._wake)
                os.close(self._waker)
        if self._error is not None and error is None:
            raise self._error

    def _cbreak(self) -> None:
        if sys.platform != "win32":
            import termios

            self._before = termios.tcgetattr(sys.stdin.fileno())
            mode = termios.tcgetattr(sys.stdin.fileno())
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            # Ctrl-Z would leave the screen half drawn, and the sound running into nowhere.
            mode[6][termios.VSUSP] = b"\0"
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            # What was typed before there was a screen was meant for something else: the next command of a paste, say.
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSAFLUSH, mode)

    def _run(self) -> None:
        read = self._read_windows if sys.platform == "win32" else self._read
        try:
            while not self._stop.is_set():
                text = read()
                if text is None:
                    return
                for key in split_keys(text):
                    self._on_key(key)
        except Exception as error:  # noqa: BLE001 - kept, and raised by __exit__ where it can be seen
            self._error = error

    def _read(self) -> str | None:
        import select

        descriptor = sys.stdin.fileno()
        ready, _, _ = select.select([descriptor, self._wake], [], [])
        if self._wake in ready:
            return None
        try:
            data = os.read(descriptor, 1024)
        except OSError:  # the terminal is gone
            return None
        return self._decoder.decode(data) if data else None

    def _read_windows(self) -> str | None:
        text = ""
        if sys.platform == "win32":
            import msvcrt

            while msvcrt.kbhit():
                character = msvcrt.getwch()
                if character in "\0\xe0":  # an arrow or a function key comes in two
                    msvcrt.getwch()
                else:
                    text += character
        if not text:
            self._stop.wait(_POLL_S)
        return text
