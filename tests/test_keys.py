"""Keys from a real pseudo-terminal, and the terminal as it was before, however it ends."""

import os
import subprocess
import sys

import pytest

from stream.keys import split_keys
from tests.talk import ROOT

fcntl = pytest.importorskip("fcntl", reason="needs a pseudo-terminal")
pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
termios = pytest.importorskip("termios", reason="needs a pseudo-terminal")

READER = """
import sys, threading
from stream.keys import Keyboard, can_read_keys
assert can_read_keys()
done = threading.Event()
def on_key(key):
    print(f"<{key}>", flush=True)
    if key in "q!":
        done.set()
    if key == "!":
        raise RuntimeError("in a key")
with Keyboard(on_key):
    print("ready", flush=True)
    done.wait(20)
    if sys.argv[1:] == ["raise"]:
        raise SystemExit(3)
"""


def run(typed: bytes, *arguments: str) -> tuple[int, str, bool]:
    """Exit code, output, and whether the terminal is as it was."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    os.write(ours, b"typed before there was a screen: q\n")
    program = subprocess.Popen(
        [sys.executable, "-c", READER, *arguments],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        # The terminal becomes its own, as a shell would make it.
        preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"ready\n"
    mode = termios.tcgetattr(theirs)
    assert not mode[3] & (termios.ICANON | termios.ECHO)
    assert mode[3] & termios.ISIG  # Ctrl-C stays what it is
    os.write(ours, typed)
    out, _ = program.communicate(timeout=30)
    same = termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
    return program.returncode, out.decode(), same


def test_keys_come_one_by_one_those_before_do_not_and_the_terminal_is_given_back() -> None:
    code, out, same = run("aé宇\r\x7f\x1b[Aq".encode())
    assert (code, same) == (0, True)
    assert out.split() == ["<a>", "<é>", "<宇>", "<enter>", "<backspace>", "<q>"]


@pytest.mark.parametrize(("typed", "arguments", "code"), [(b"q", ("raise",), 3), (b"!", (), 1), (b"\x03", (), 1)])
def test_an_end_by_an_error_gives_it_back_too(typed: bytes, arguments: tuple[str, ...], code: int) -> None:
    got, out, same = run(typed, *arguments)
    assert same
    assert got == code or (typed == b"\x03" and got == -2)
    if typed == b"!":
        assert "RuntimeError: in a key" in out


def test_sequences_mean_nothing_and_control_characters_are_dropped() -> None:
    assert split_keys("\x1bOP\x1b[1;5Cx\x00\x01") == ["x"]
    assert split_keys("\x15\n") == ["clear", "enter"]


def test_without_a_terminal_there_are_no_keys() -> None:
    code = "from stream.keys import can_read_keys; print(can_read_keys())"
    for stdin in (subprocess.DEVNULL, subprocess.PIPE):
        done = subprocess.run([sys.executable, "-c", code], stdin=stdin, capture_output=True, text=True, cwd=ROOT)
        assert done.stdout == "False\n", done.stderr
