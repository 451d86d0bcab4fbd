"""Sound from a microphone, by PortAudio through `sounddevice`.

The audio callback counts, copies, leaves; whoever iterates over `blocks` does the rest in a thread of its own.
`sounddevice` is imported where it is used: a machine without PortAudio still shows help and replays files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from stream.clock import SAMPLE_RATE
from stream.errors import DeviceError
from stream.quiet import quiet_stderr
from stream.records import Block, FloatArray, Loss
from stream.ring import RingBuffer
from stream.text import one_line

__all__ = ["InputDevice", "Microphone", "find_input", "list_inputs"]

_CALLBACK_MS = 20  # short against the 100 ms hop, long against what a call into Python costs
_READ_MS = 100  # most sound in one block: a late reader catches up in few steps
_FIRST_SOUND_S = 5.0  # a Bluetooth headset takes seconds to change to its microphone profile
_NEXT_SOUND_S = 2.0  # a device that runs calls every 20 ms; some that were unplugged just stop calling
_LONGEST_LOSS_S = 60.0  # a longer jump of the device's clock says that the machine slept, not how much was lost

_NO_PORTAUDIO = (
    "the microphone needs PortAudio, which is not installed ({}): on Debian or Ubuntu run `sudo apt install "
    "libportaudio2`, on Fedora `sudo dnf install portaudio`; on macOS and Windows install sounddevice again"
)
_NO_INPUT = (
    "no sound input was found: plug in a microphone, or allow this program to use it, and look again with "
    "`livespeaker devices`; files need none: `livespeaker replay FILE`"
)


@dataclass(frozen=True, slots=True)
class InputDevice:
    """A sound input that PortAudio found when the program started."""

    index: int  # PortAudio's number for it
    name: str
    host_api: str  # ALSA, Core Audio, WASAPI, ...
    channels: int  # most channels it gives, at least 1
    rate: int  # its own sample rate, samples a second
    is_default: bool  # used when no device is asked for


def list_inputs() -> list[InputDevice]:
    """All sound inputs, by number.

    Raises:
        DeviceError: PortAudio is missing or cannot start, or there is no input.
    """
    sd = _import_sounddevice()
    default = sd.default.device[0]
    inputs = [
        InputDevice(
            index=index,
            name=info["name"],
            host_api=sd.query_hostapis(info["hostapi"])["name"],
            channels=info["max_input_channels"],
            rate=round(info["default_samplerate"]),
            is_default=index == default,
        )
        for index, info in enumerate(sd.query_devices())
        if info["max_input_channels"] > 0
    ]
    if not inputs:
        raise DeviceError(_NO_INPUT)
    return inputs


def find_input(inputs: Sequence[InputDevice], device: str | int | None = None) -> InputDevice:
    """The input that the user means.

    Args:
        inputs: what there is.
        device: a number, or its digits; a name or a part of one, in any case; None for the default. A whole name goes
            before a part of one. One microphone seen through several host APIs is taken from the default input's.

    Raises:
        DeviceError: none or several fit.

    >>> usb = InputDevice(3, "USB Audio: Mic", "ALSA", 1, 48_000, is_default=False)
    >>> find_input([usb], "usb").index, find_input([usb], "3").index
    (3, 3)
    """
    if device is None:
        found = [each for each in inputs if each.is_default]
    elif isinstance(device, int) or device.isdecimal():
        found = [each for each in inputs if each.index == int(device)]
    else:
        wanted = device.strip().casefold()
        found = [each for each in inputs if wanted and wanted in each.name.casefold()]
        found = [each for each in found if each.name.casefold() == wanted] or found
        apis = {each.host_api for each in inputs if each.is_default}
        found = [each for each in found if each.host_api in apis] or found
    if len(found) == 1:
        return found[0]
    wish = "the default input" if device is None else repr(device)
    listed = ", ".join(f"{each.index} {each.name!r} ({each.host_api})" for each in inputs) or "none"
    problem = "fits several inputs" if found else "is not among the inputs"
    raise DeviceError(f"{wish} {problem}; choose one by its number with --device: {listed}")


class Microphone:
    """A sound input, opened when it is made, running inside `with`.

    Opened at 16 kHz and in mono where the device takes that, else at its own rate and with all of its channels, which
    are mixed down by their mean.

    Args:
        device: see `find_input`.
        buffer_s: seconds of sound kept for a reader that is late; more is lost, and counted.

    Attributes:
        name: the device's name.
        rate: samples a second of what `blocks` gives.
        latency_samples: from the air to the callback, as PortAudio states it, at `rate`.

    Raises:
        DeviceError: no PortAudio, no such device, or it cannot be opened or started.
    """

    def __init__(self, device: str | int | None = None, *, buffer_s: float = 5.0) -> None:
        sd = _import_sounddevice()
        found = find_input(list_inputs(), device)
        self.name = found.name
        self._portaudio_error: type[Exception] = sd.PortAudioError
        self._stream, self.rate, channels = self._open(sd, found)
        self.latency_samples = round(self._stream.latency * self.rate)
        self._ring = RingBuffer(round(buffer_s * self.rate), self.rate)
        self._mono = np.zeros(self._block_samples(self.rate), dtype=np.float32)
        self._channels = channels
        self._due_s = 0.0  # when the next sample should be taken from the air, on PortAudio's clock; 0: not known
        self._stopped = False

    @staticmethod
    def _block_samples(rate: int) -> int:
        return rate * _CALLBACK_MS // 1000

    def _open(self, sd: Any, found: InputDevice) -> tuple[Any, int, int]:
        # Dictionaries keep order: the ways to open it from the best to the one that the device itself states.
        ways = dict.fromkeys((rate, channels) for rate in (SAMPLE_RATE, found.rate) for channels in (1, found.channels))
        reason = ""
        for rate, channels in ways:
            try:
                with quiet_stderr():
                    stream = sd.InputStream(
                        samplerate=rate,
                        blocksize=self._block_samples(rate),
                        device=found.index,
                        channels=channels,
                        dtype="float32",
                        callback=self._hear,
                        finished_callback=self._finish,
                    )
            except sd.PortAudioError as error:
                reason = reason or one_line(error)
            else:
                return stream, rate, channels
        raise DeviceError(
            f"cannot open the microphone {found.name!r}: {reason}; close other programs that use it, or choose another "
            "with --device (`livespeaker devices` lists them)"
        )

    # -- PortAudio's thread --------------------------------------------------------------------------------------

    def _hear(self, indata: FloatArray, frames: int, when: Any, flags: Any) -> None:
        taken_s = when.inputBufferAdcTime
        if flags.input_overflow:
            self._ring.skip(self._lost_samples(taken_s))
        self._due_s = taken_s + frames / self.rate if taken_s > 0 else 0.0
        if self._channels == 1:
            self._ring.write(indata[:, 0])
        else:
            self._ring.write(np.mean(indata, axis=1, out=self._mono[:frames]))

    def _lost_samples(self, taken_s: float) -> int:
        # Some host APIs give no times (0), and all of them jitter; some raise the flag when nothing was lost. Less than
        # one callback's worth cannot be told from that, so it is counted and does not move the clock.
        lost_s = taken_s - self._due_s
        known = taken_s > 0 and self._due_s > 0 and _CALLBACK_MS / 1000 <= lost_s <= _LONGEST_LOSS_S
        return round(lost_s * self.rate) if known else 0

    def _finish(self) -> None:
        # PortAudio calls this once the stream is no longer active, whoever ended it.
        self._ring.close()

    # -- the listener's thread -----------------------------------------------------------------------------------

    def __enter__(self) -> "Microphone":
        try:
            with quiet_stderr():
                self._stream.start()
        except self._portaudio_error as error:
            self._stream.close()
            raise DeviceError(
                f"cannot start the microphone {self.name!r}: {one_line(error)}; close other programs that use it, or "
                "choose another with --device"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        with quiet_stderr():  # a device that is gone complains once more
            self._stream.abort()  # what is still on its way is not waited for
            self._stream.close()

    def blocks(self) -> Iterator[Block]:
        """The sound, as it comes, until `stop`.

        Yields:
            Blocks of 1 to `rate` / 10 samples, counted at `rate` since the start; a jump in `start` is lost sound.

        Raises:
            DeviceError: the device vanished. What it gave until then has been yielded.
        """
        patience_s = _FIRST_SOUND_S
        most = self.rate * _READ_MS // 1000
        while not self._ring.ended:
            block = self._ring.read(most, patience_s)
            if block is not None:
                yield block
                patience_s = _NEXT_SOUND_S
            elif not self._ring.ended:
                break  # no sound for so long, though the stream was not ended
        if not self._stopped:
            raise DeviceError(
                f"the microphone {self.name!r} stopped giving sound: see that it is plugged in and switched on, and "
                "start again, or choose another with --device (`livespeaker devices` lists them)"
            )

    def stop(self) -> None:
        """Make `blocks` end after what was heard so far; from any thread or signal handler."""
        self._stopped = True
        self._ring.close()

    @property
    def loss(self) -> Loss:
        """What was lost so far."""
        return self._ring.loss


def _import_sounddevice() -> Any:
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(_NO_PORTAUDIO.format(one_line(error))) from error
    except Exception as error:  # PortAudioError, which has no name before the import that raises it
        raise DeviceError(
            f"PortAudio is installed but cannot start: {one_line(error)}; see that the sound system runs"
        ) from error
    return sounddevice
