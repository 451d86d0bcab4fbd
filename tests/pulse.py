"""A PulseAudio of one's own: what is played into its sink comes out of its only microphone, really.

It runs in the foreground, touches no sound card and no other sound server, and needs neither D-Bus nor a user's
session, so it works as root in a container. PortAudio reaches it through ALSA's pulse plugin and looks for devices
once, at import, so what listens must be a process started with `Pulse.env`.
"""

import ctypes.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

START_S = 30.0  # a loaded machine may be slow; a server that cannot start exits sooner

SCRIPT = """\
load-module {sink}
load-module module-native-protocol-unix socket={folder}/native auth-anonymous=1 auth-cookie-enabled=0
set-default-sink sink
set-default-source sink.monitor
"""

SINK = "module-null-sink sink_name=sink rate={rate} channels=1 format=float32le"

# The whole configuration of ALSA, so that no device of the machine's own is seen.
ALSA = """\
pcm.default { type pulse }
ctl.default { type pulse }
"""


def why_not() -> str | None:
    """What this machine lacks to run PulseAudio and to listen to it; None when nothing."""
    missing = [program for program in ("pulseaudio", "pactl", "paplay") if shutil.which(program) is None]
    if missing:
        return f"PulseAudio's {', '.join(missing)} not installed"
    if ctypes.util.find_library("portaudio") is None:
        return "PortAudio not installed"
    plugins = ("/usr/lib*/alsa-lib", "/usr/lib/*/alsa-lib", "/usr/local/lib*/alsa-lib")
    if not any(any(Path("/").glob(f"{folder[1:]}/libasound_module_pcm_pulse.so")) for folder in plugins):
        return "ALSA's pulse plugin not installed"
    return None


@dataclass(frozen=True)
class Pulse:
    """A running server."""

    env: dict[str, str]  # for a process that is to play to it or to listen to it
    server: subprocess.Popen[bytes]
    rate: int  # of the microphone

    def play(self, path: Path) -> "subprocess.Popen[bytes]":
        """Start to play a file into the sink, in real time; the process ends when all of it was played.

        The sink may drop the first hundredths of a second, since it starts in the middle of a period: let the file
        begin with some silence. All that follows arrives to the bit.
        """
        return subprocess.Popen(["paplay", "--device=sink", str(path)], env=self.env)

    def listeners(self) -> int:
        """How many streams listen to the microphone now."""
        listed = subprocess.run(
            ["pactl", "list", "short", "source-outputs"], env=self.env, check=True, capture_output=True, text=True
        )
        return len(listed.stdout.splitlines())

    def unplug(self) -> None:
        """Take the microphone away while it is listened to; the server stays."""
        self._control("unload-module", "module-null-sink")

    def plug_in(self, rate: int | None = None) -> None:
        """Bring it back, perhaps with another rate."""
        self._control("load-module", *SINK.format(rate=rate or self.rate).split())
        self._control("set-default-sink", "sink")
        self._control("set-default-source", "sink.monitor")

    def suspend(self, asleep: bool) -> None:
        """Let the microphone sleep, so that it is there and gives nothing, or wake it."""
        self._control("suspend-sink", "sink", str(int(asleep)))

    def _control(self, *command: str) -> None:
        subprocess.run(["pactl", *command], env=self.env, check=True, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """Take the microphone away while it is listened to."""
        self.server.kill()
        self.server.wait()


@contextmanager
def run_pulse(rate: int = 16_000) -> Iterator[Pulse]:
    """A server of one's own, with one sink whose monitor is the default microphone, at `rate`.

    Raises:
        RuntimeError: it did not start; with what it said.
    """
    # Not pytest's `tmp_path`: a socket's path may have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="pulse-") as folder:
        env = os.environ | {
            "PULSE_SERVER": f"unix:{folder}/native",
            "PULSE_RUNTIME_PATH": folder,
            "PULSE_STATE_PATH": folder,
            "PULSE_COOKIE": f"{folder}/cookie",
            "PULSE_CLIENTCONFIG": f"{folder}/client.conf",
            "ALSA_CONFIG_PATH": f"{folder}/alsa.conf",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",  # the user's own sound server stays out of it
        }
        Path(folder, "alsa.conf").write_text(ALSA)
        Path(folder, "client.conf").write_text("autospawn = no\nenable-shm = no\n")
        Path(folder, "script.pa").write_text(SCRIPT.format(sink=SINK.format(rate=rate), folder=folder))
        log = Path(folder, "log")
        command = ["pulseaudio", "-n", "-F", f"{folder}/script.pa", "--daemonize=no", "--use-pid-file=no"]
        command += ["--exit-idle-time=-1", "--realtime=no", "--high-priority=no", "--disable-shm=yes"]
        with log.open("wb") as out:
            server = subprocess.Popen(
                command,
                env={name: value for name, value in env.items() if name != "PULSE_SERVER"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(server, env, log)
            yield Pulse(env, server, rate)
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_ready(server: "subprocess.Popen[bytes]", env: dict[str, str], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        info = subprocess.run(["pactl", "info"], env=env, capture_output=True, text=True)
        if "Default Source: sink.monitor" in info.stdout:
            return
        time.sleep(0.1)
    server.kill()
    server.wait()
    raise RuntimeError(f"PulseAudio did not start within {START_S:g} s: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    """A server of the test's own; the test is skipped, with the reason, where there can be none."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with run_pulse() as server:
        yield server
