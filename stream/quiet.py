"""Keeping libraries written in C off the user's screen."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

__all__ = ["quiet_libraries", "quiet_stderr"]


_lock = threading.Lock()
_inside = 0  # how many are inside `quiet_stderr`, in any thread
_kept: int | None = None  # where 2 led before the first of them


@contextlib.contextmanager
def quiet_stderr() -> Iterator[int | None]:
    """Nothing on file descriptor 2 meanwhile, until the last thread has left that is inside.

    PortAudio and ALSA write there about ways to open that they refuse, LiteRT about every delegate that
    it makes, and none of them can be told not to.

    Yields:
        A descriptor that leads where 2 led before, until the end; None when 2 was closed.
    """
    global _inside, _kept
    with _lock:
        if not _inside:
            _kept = _turn_away()
        _inside += 1
    try:
        yield _kept
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _kept is not None:
                os.dup2(_kept, 2)
                os.close(_kept)


def _turn_away() -> int | None:
    try:
        kept = os.dup(2)
    except OSError:  # closed: there is nobody to disturb
        return None
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    return kept


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Standard error for Python alone, meanwhile: the bar and the messages are seen, libraries written in C are not.

    PortAudio's own thread writes there when a device vanishes, and decoders when a file is cut off, at any moment of
    a session; what that means for the user is said in one line, by us.
    """
    before = sys.stderr
    try:
        with quiet_stderr() as kept:
            try:
                if kept is not None and before is not None and before.fileno() == 2:
                    before.flush()
                    sys.stderr = open(  # noqa: SIM115 - it ends with `kept`
                        kept, "w", buffering=1, encoding=before.encoding, errors=before.errors, closefd=False
                    )
            except (OSError, ValueError):
                pass  # a test or a notebook has put something there that is no file: it does not write to 2 either
            yield
    finally:
        sys.stderr = before
