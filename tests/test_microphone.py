"""The microphone: the real path through PulseAudio and PortAudio, and by a fake PortAudio what that never does."""

import json
import subprocess
import sys
import threading
import types
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stream.microphone
from stream.devices import InputDevice, find_input, list_inputs
from stream.errors import DeviceError
from stream.microphone import Microphone
from stream.records import Loss
from tests.pulse import Pulse, pulse, why_not  # noqa: F401 - `pulse` is a fixture

RATE = 16_000

# Listens until its standard input closes, or the microphone goes away; then tells what it heard.
LISTEN = """
import json, sys, threading
import numpy as np
from stream.errors import DeviceError
from stream.microphone import Microphone

vanished, blocks = "", []
with Microphone() as microphone:
    threading.Thread(target=lambda: (sys.stdin.read(), microphone.stop()), daemon=True).start()
    try:
        for block in microphone.blocks():
            blocks.append(block)
            if len(blocks) == 1:
                print("listening", flush=True)
    except DeviceError as error:
        vanished = str(error)
np.save(sys.argv[1], np.concatenate([block.samples for block in blocks]))
loss = microphone.loss
print(json.dumps({
    "starts": [block.start for block in blocks],
    "sizes": [len(block.samples) for block in blocks],
    "rates": sorted({block.rate for block in blocks}),
    "loss": [loss.overflows, loss.overruns, loss.samples],
    "latency": microphone.latency_samples,
    "vanished": vanished,
}))
"""


def start_listening(server: Pulse, path: Path) -> "subprocess.Popen[str]":
    """A process that hears the microphone already when this returns."""
    listener = subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(path)],
        env=server.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert listener.stdout is not None
    assert listener.stdout.readline() == "listening\n"
    return listener


def speechlike(seconds: int) -> np.ndarray:
    """Syllables of a second and less: noise and chirps below 4 kHz, with pauses, never twice the same."""
    random = np.random.default_rng(20)
    n = seconds * RATE
    time_s = np.arange(n) / RATE
    spectrum = np.fft.rfft(random.standard_normal(n))
    frequency_hz = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(frequency_hz < 100) | (frequency_hz > 4_000)] = 0
    noise = np.fft.irfft(spectrum, n)
    chirp = np.sin(2 * np.pi * (150 * time_s + 250 * time_s**2))
    syllables = np.interp(time_s * 8, np.arange(seconds * 8 + 1), random.uniform(-0.3, 1, seconds * 8 + 1)).clip(0)
    return (syllables * (0.15 * noise / noise.std() + 0.2 * chirp)).clip(-1, 1)


def write_wav(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(np.round(samples * 32_767).astype("<i2").tobytes())


def alignment(heard: np.ndarray, played: np.ndarray) -> int:
    """Where in `heard` the sound that was played begins: the peak of their cross-correlation."""
    n = len(heard) + len(played)
    cross = np.fft.irfft(np.fft.rfft(heard, n) * np.conj(np.fft.rfft(played, n)), n)
    return int(np.argmax(cross[: len(heard)]))


def test_what_is_played_is_what_the_microphone_hears(pulse: Pulse, tmp_path: Path) -> None:  # noqa: F811
    played = speechlike(6)
    write_wav(tmp_path / "played.wav", np.concatenate([np.zeros(RATE // 4), played]))  # see `Pulse.play`
    with start_listening(pulse, tmp_path / "heard.npy") as listener:
        with pulse.play(tmp_path / "played.wav") as player:
            assert player.wait(60) == 0
        told = json.loads(listener.communicate("", timeout=60)[0])
    assert told["vanished"] == ""
    assert told["loss"] == [0, 0, 0]
    assert told["rates"] == [RATE]
    assert 0 < told["latency"] < RATE
    np.testing.assert_array_equal(told["starts"], np.cumsum([0, *told["sizes"][:-1]]), err_msg="a gap")
    heard = np.load(tmp_path / "heard.npy")
    assert len(heard) == sum(told["sizes"])
    at = alignment(heard, played)
    assert at + len(played) <= len(heard)
    # Second by second with one lag: a sample too few or too many anywhere would lose everything after it.
    for second in range(0, len(played), RATE):
        correlation = np.corrcoef(heard[at + second :][:RATE], played[second:][:RATE])[0, 1]
        assert correlation > 0.99
    # Nothing on the way resamples or scales: the file's own rounding to 16 bits is all that may differ.
    np.testing.assert_allclose(heard[at : at + len(played)], played, atol=2 / 32_768)


def test_a_device_that_vanishes_for_real_is_an_error_and_what_was_heard_is_kept(pulse: Pulse, tmp_path: Path) -> None:  # noqa: F811
    with start_listening(pulse, tmp_path / "heard.npy") as listener:
        pulse.kill()
        assert listener.wait(60) == 0  # its standard input is still open: nobody told it to stop
        told = json.loads(listener.communicate()[0])
    assert "stopped giving sound" in told["vanished"]
    assert len(np.load(tmp_path / "heard.npy")) == sum(told["sizes"]) > 0


# -- PortAudio faked -------------------------------------------------------------------------------------------------


def heard(microphone: Microphone) -> list[tuple[int, list[float]]]:
    microphone.stop()
    return [(block.start, block.samples.tolist()) for block in microphone.blocks()]


def test_importing_the_microphone_needs_no_portaudio() -> None:
    code = "import sys, stream.microphone; sys.exit('sounddevice' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        ("raise OSError('PortAudio library not found')", "sudo apt install libportaudio2"),
        ("raise Exception('Error initializing\\nPortAudio')", "cannot start: Error initializing PortAudio;"),
    ],
)
def test_no_portaudio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: str, says: str) -> None:
    (tmp_path / "sounddevice.py").write_text(failure)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    for ask in (list_inputs, Microphone):
        with pytest.raises(DeviceError, match=says) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_no_input(fake: types.ModuleType) -> None:
    del fake.entries[1:]
    for ask in (list_inputs, Microphone):
        with pytest.raises(DeviceError, match="plug in a microphone"):
            ask()


def test_inputs_are_listed_without_outputs_and_the_default_is_marked(fake: types.ModuleType) -> None:
    assert list_inputs() == [
        InputDevice(1, "Headset", "ALSA", 1, 48_000, is_default=True),
        InputDevice(2, "Webcam", "ALSA", 2, 48_000, is_default=False),
    ]


INPUTS = [
    InputDevice(0, "USB Mic", "MME", 1, 44_100, is_default=True),
    InputDevice(2, "USB Mic 2", "MME", 1, 44_100, is_default=False),
    InputDevice(4, "Line in", "MME", 2, 44_100, is_default=False),
    InputDevice(5, "Line in", "WASAPI", 2, 48_000, is_default=False),
    InputDevice(7, "Array", "WASAPI", 4, 48_000, is_default=False),
]


@pytest.mark.parametrize(
    ("device", "index"),
    [(None, 0), (2, 2), ("2", 2), ("usb mic", 0), ("mic 2", 2), ("LINE", 4), ("arr", 7), (5, 5)],
)
def test_a_device_is_found(device: str | int | None, index: int) -> None:
    assert find_input(INPUTS, device).index == index


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("usb", "fits several"),
        ("i", "fits several"),
        ("tape", "is not among"),
        (1, "is not among"),
        (-1, "is not among"),
    ],
)
def test_an_ambiguous_or_unknown_device_lists_the_inputs_in_one_line(device: str | int, problem: str) -> None:
    with pytest.raises(DeviceError, match=problem) as caught:
        find_input(INPUTS, device)
    assert repr(device) in str(caught.value)
    assert all(f"{each.index} {each.name!r} ({each.host_api})" in str(caught.value) for each in INPUTS)
    assert "\n" not in str(caught.value)


def test_no_default_asks_for_a_choice() -> None:
    with pytest.raises(DeviceError, match=r"the default input is not among.*--device: 7 'Array'"):
        find_input(INPUTS[-1:])


@pytest.mark.parametrize(
    ("refuses", "rate", "channels"),
    [
        (lambda rate, channels: False, 16_000, 1),
        (lambda rate, channels: channels == 1, 16_000, 2),
        (lambda rate, channels: rate == 16_000, 48_000, 1),
        (lambda rate, channels: rate == 16_000 or channels == 1, 48_000, 2),
    ],
)
def test_opened_as_near_to_16_khz_mono_as_the_device_allows(
    fake: types.ModuleType, refuses: Callable[[int, int], bool], rate: int, channels: int
) -> None:
    fake.InputStream.refuses = staticmethod(refuses)
    with Microphone("webcam") as microphone:
        asked = microphone._stream.asked
        assert (asked["samplerate"], asked["channels"], asked["device"]) == (rate, channels, 2)
        assert (microphone.name, microphone.rate) == ("Webcam", rate)
        assert microphone.latency_samples == rate // 20
        microphone._stream.feed(np.ones((rate // 50, channels)))
        assert heard(microphone) == [(0, [1.0] * (rate // 50))]
        assert next(iter(microphone.blocks()), None) is None
    assert microphone._stream.closed


def test_a_device_that_cannot_be_opened_or_started_is_one_line(fake: types.ModuleType) -> None:
    fake.InputStream.refuses_to_start = True
    microphone = Microphone()
    with pytest.raises(DeviceError, match="cannot start the microphone 'Headset': Device unavailable"), microphone:
        pass
    assert microphone._stream.closed
    fake.InputStream.refuses = staticmethod(lambda rate, channels: True)
    with pytest.raises(DeviceError, match=r"cannot open the microphone 'Headset': .*Invalid sample rate") as caught:
        Microphone()
    assert "\n" not in str(caught.value)


def test_channels_are_mixed_down_by_their_mean(fake: types.ModuleType) -> None:
    fake.InputStream.refuses = staticmethod(lambda rate, channels: channels == 1)
    samples = np.random.default_rng(1).uniform(-1, 1, (960, 2))
    with Microphone("Webcam") as microphone:
        for piece in np.split(samples, [100, 420, 421, 740]):
            microphone._stream.feed(piece)
        got = np.concatenate([samples for _, samples in heard(microphone)])
    np.testing.assert_allclose(got, samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize(
    ("how", "lost"),
    [
        ({"lost_s": 0.5}, 8_000),
        ({"lost_s": 0.0}, 0),  # the flag without a loss, as some systems raise it
        ({"lost_s": 0.004}, 0),  # not more than jitter
        ({"lost_s": -5.0}, 0),
        ({"lost_s": 30_000.0}, 0),  # the machine slept
        ({"timed": False}, 0),
    ],
)
def test_an_overflow_is_counted_and_moves_the_clock_when_its_length_is_known(
    fake: types.ModuleType, how: dict[str, Any], lost: int
) -> None:
    with Microphone() as microphone:
        microphone._stream.feed(np.zeros(320))
        microphone._stream.feed(np.ones(320), overflow=True, **how)
        microphone._stream.feed(np.ones(320))
        blocks = heard(microphone)
        assert microphone.loss == Loss(overflows=1, samples=lost)
    assert sum(len(samples) for _, samples in blocks) == 960
    starts = [(start + at, value) for start, samples in blocks for at, value in enumerate(samples)]
    assert starts == [(at, 0.0) for at in range(320)] + [(at + lost, 1.0) for at in range(320, 960)]


def test_a_late_reader_is_counted(fake: types.ModuleType) -> None:
    with Microphone(buffer_s=0.5) as microphone:
        for _ in range(50):
            microphone._stream.feed(np.ones(320))
        blocks = heard(microphone)
        assert microphone.loss.overruns == 1
        assert sum(len(samples) for _, samples in blocks) + microphone.loss.samples == 50 * 320
        assert blocks[0][0] == microphone.loss.samples


@pytest.mark.parametrize("ends", [True, False])
def test_a_device_that_vanishes_is_an_error_whether_its_stream_ends_or_only_goes_quiet(
    fake: types.ModuleType, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    monkeypatch.setattr(stream.microphone, "_NEXT_SOUND_S", 0.05)
    with Microphone() as microphone:
        microphone._stream.feed(np.ones(320))
        blocks = microphone.blocks()
        assert len(next(blocks).samples) == 320
        microphone._stream.feed(np.ones(7))
        if ends:
            microphone._stream.abort()
        assert len(next(blocks).samples) == 7
        with pytest.raises(DeviceError, match="'Headset' stopped giving sound") as caught:
            next(blocks)
        assert "\n" not in str(caught.value)


def test_stop_from_another_thread_ends_a_wait_at_once(fake: types.ModuleType) -> None:
    with Microphone() as microphone:
        stopper = threading.Timer(0.1, microphone.stop)
        stopper.start()
        assert list(microphone.blocks()) == []  # and no error: `_FIRST_SOUND_S` did not pass
        stopper.join()


def test_what_is_missing_for_the_real_path_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert why_not() == "PulseAudio's pulseaudio, pactl, paplay not installed"
