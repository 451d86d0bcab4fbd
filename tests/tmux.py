"""A real terminal for tests: tmux, whose screen can be read, typed into and resized."""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.talk import ROOT, command

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt install tmux")


class Terminal:
    """One window of a tmux server of its own."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, "-f", "/dev/null", *arguments], capture_output=True, check=True, timeout=30
        )
        return done.stdout.decode()

    def screen(self, *, escapes: bool = False) -> str:
        return self._tmux("capture-pane", "-p", "-t", "0", *(["-e"] if escapes else []))

    def history(self) -> str:
        """The screen and what went off its top."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-", "-t", "0")

    def lines(self) -> list[str]:
        return self.screen().split("\n")[:-1]

    def type(self, *keys: str) -> None:
        """Keys as tmux calls them: C-c, Enter, or the letters themselves."""
        self._tmux("send-keys", "-t", "0", *keys)

    def write(self, text: str) -> None:
        """Letters, whatever tmux would call them."""
        self._tmux("send-keys", "-t", "0", "-l", text)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-t", "0", "-x", str(width), "-y", str(height))

    def state(self, *names: str) -> list[str]:
        """What tmux knows of the terminal: alternate_on, cursor_flag, wrap_flag, ..."""
        return self._tmux("display-message", "-p", "-t", "0", " ".join(f"#{{{name}}}" for name in names)).split()

    def wait_for(self, *texts: str, timeout_s: float = 60) -> str:
        """The screen, as soon as all of these are on it."""
        deadline = time.monotonic() + timeout_s
        while True:
            screen = self.screen()
            if all(text in screen for text in texts):
                return screen
            assert time.monotonic() < deadline, f"waited for {texts}, got:\n{screen}"
            time.sleep(0.1)


@contextmanager
def run_in_terminal(
    *arguments: str, width: int = 80, height: int = 24, env: dict[str, str] | None = None, folder: Path | None = None
) -> Iterator[Terminal]:
    """livespeaker in a shell that says afterwards how the terminal was left."""
    socket = f"livespeaker-{os.getpid()}-{time.monotonic_ns()}"
    terminal = Terminal(socket)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    variables = {"PYTHONPATH": path, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", **(env or {})}
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    before = "trap : INT; was=$(stty -g); "
    after = '; echo "exit $?"; [ "$was" = "$(stty -g)" ] && echo same terminal; exec sleep 1000'
    shell = f"{before}env {given} {shlex.join(command(*arguments))}{after}"
    # A size of its own, whoever else looks: TERM inside is tmux's.
    terminal._tmux(
        "new-session",
        "-d",
        "-x",
        str(width),
        "-y",
        str(height),
        "-c",
        str(folder or ROOT),
        f"sh -c {shlex.quote(shell)}",
    )
    try:
        yield terminal
    finally:
        subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True, timeout=30)
