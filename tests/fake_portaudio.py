"""A `sounddevice` whose devices come and go, and whose streams are fed by the test."""

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


class PortAudioError(Exception):
    """As `sounddevice` names it."""


class FakeStream:
    """A stream that the test feeds."""

    latency = 0.05
    refuses: Callable[[int, int], bool] = staticmethod(lambda rate, channels: False)  # by sample rate and channels
    refuses_to_start = False
    streams: list["FakeStream"]  # all that were opened

    def __init__(self, **asked: Any) -> None:
        if self.refuses(asked["samplerate"], asked["channels"]):
            raise PortAudioError("Error opening InputStream:\nInvalid sample rate [PaErrorCode -9997]")
        self.asked = asked
        self.started = self.closed = False
        self.taken_s = 100.0
        self.streams.append(self)

    def start(self) -> None:
        if self.refuses_to_start:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.started = True

    def abort(self) -> None:
        self.asked["finished_callback"]()

    def close(self) -> None:
        self.closed = True

    def feed(self, samples: np.ndarray, *, overflow: bool = False, lost_s: float = 0.0, timed: bool = True) -> None:
        """What PortAudio does: a buffer that it will use again, when it was taken, and what went wrong."""
        self.taken_s += lost_s
        buffer = samples.astype(np.float32).reshape(len(samples), -1)
        when = types.SimpleNamespace(inputBufferAdcTime=self.taken_s if timed else 0.0)
        self.asked["callback"](buffer, len(buffer), when, types.SimpleNamespace(input_overflow=overflow))
        buffer[:] = np.nan
        self.taken_s += len(buffer) / self.asked["samplerate"]


def entry(name: str, channels: int = 1, rate: float = 48_000.0, hostapi: int = 0) -> dict[str, Any]:
    return {"name": name, "max_input_channels": channels, "default_samplerate": rate, "hostapi": hostapi}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A `sounddevice` with a headset as its default and an output that nobody can listen to."""
    module = types.ModuleType("sounddevice")
    streams: list[FakeStream] = []
    entries = [entry("Speakers", channels=0), entry("Headset"), entry("Webcam", channels=2)]

    def terminate() -> None:
        assert module._initialized == 1
        assert all(stream.closed for stream in streams), "PortAudio was ended under an open stream"
        module._initialized = 0

    def initialize() -> None:
        module._initialized = 1
        entries[:] = module.plugged

    module.__dict__.update(
        PortAudioError=PortAudioError,
        InputStream=type("InputStream", (FakeStream,), {"streams": streams}),
        streams=streams,
        plugged=list(entries),  # what is really there; PortAudio sees it when it starts
        _initialized=1,
        _terminate=terminate,
        _initialize=initialize,
        default=types.SimpleNamespace(device=[1, 0]),
        entries=entries,
        query_devices=lambda: entries,
        query_hostapis=lambda index: {"name": ["ALSA", "OSS"][index]},
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module
