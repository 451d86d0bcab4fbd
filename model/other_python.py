"""A program in a Python of its own: what it needs never meets what we need."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from stream.errors import UsageError
from stream.text import safe_text, system_reason

__all__ = ["other_python"]


@contextmanager
def other_python(
    python: Path, arguments: Sequence[str], needs: str, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run a program, whose standard input and output are pipes of text, until it ends; the former is closed for it.

    Args:
        python: the interpreter.
        arguments: the program and what it is given.
        needs: what must be installed there, for the message.
        env: what its environment has besides ours.

    Raises:
        UsageError: it cannot be started, or failed, or left while somebody waited for it (`EOFError`).
    """
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own Python
                [str(python), *arguments],
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        except OSError as error:
            raise UsageError(
                f"expected --peer to be a Python with {needs}, got {python}: {system_reason(error)}; give its path"
            ) from error
        with process:
            left = False
            try:
                yield process
            except (EOFError, BrokenPipeError):
                left = True
            except BaseException:
                process.kill()
                raise
            with suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr] # it is a pipe
            failed = process.wait() != 0
        if failed or left:
            errors.seek(0)
            last = (errors.read().strip() or "nothing").splitlines()[-1]
            raise UsageError(
                f"expected {python} to run {needs}, got: {safe_text(last)}; "
                f"give --peer the Python of an environment where {needs} is installed"
            )
