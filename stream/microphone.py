"""Sound from a microphone, by PortAudio through `sounddevice`.

The audio callback counts, copies, leaves; whoever iterates over `blocks` does the rest in a thread of its own.
A microphone that goes away is an error here; `steady_microphone` waits until it is there again.
"""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np

from stream.clock import SAMPLE_RATE
from stream.devices import InputDevice, find_input, import_sounddevice, list_inputs
from stream.errors import DeviceError
from stream.quiet import quiet_stderr
from stream.records import Block, FloatArray, Loss
from stream.ring import RingBuffer
from stream.text import one_line

__all__ = ["Microphone"]

_CALLBACK_MS = 20  # short against the 100 ms hop, long against what a call into Python costs
_READ_MS = 100  # most sound in one block: a late reader catches up in few steps
_FIRST_SOUND_S = 5.0  # a Bluetooth headset takes seconds to change to its microphone profile
_NEXT_SOUND_S = 2.0  # a device that runs calls every 20 ms; some that were unplugged just stop calling
_ASLEEP_S = 3.0  # calls this far apart in real time say that the machine slept, or this program did
_LONGEST_LOSS_S = 60.0  # a longer jump of the device's clock says that the machine slept, not how much was lost

# A clock that goes on while the machine sleeps: on Linux and macOS, `time.monotonic` does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def _now_s() -> float:
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class Microphone:
    """A sound input, opened when it is made, running inside `with`.

    Opened at 16 kHz and in mono where the device takes that, else at its own rate and with all of its channels, which
    are mixed down by their mean.

    Args:
        device: see `find_input`.
        rate: samples a second to ask for before anything else.
        buffer_s: seconds of sound kept for a reader that is late; more is lost, and counted.

    Attributes:
        name: the device's name.
        device: which input it is.
        rate: samples a second of what `blocks` gives.
        latency_samples: from the air to the callback, as PortAudio states it, at `rate`.
        began_s, heard_s: when the first sample and the last one came, on a clock that goes on while the machine sleeps;
            None before any did.

    Raises:
        DeviceError: no PortAudio, no such device, or it cannot be opened or started.
    """

    def __init__(self, device: str | int | None = None, *, rate: int = SAMPLE_RATE, buffer_s: float = 5.0) -> None:
        sd = import_sounddevice()
        self.device = find_input(list_inputs(), device)
        self.name = self.device.name
        self.began_s: float | None = None
        self.heard_s: float | None = None
        self._portaudio_error: type[Exception] = sd.PortAudioError
        self._stream, self.rate, channels = self._open(sd, self.device, rate)
        self.latency_samples = round(self._stream.latency * self.rate)
        self._ring = RingBuffer(round(buffer_s * self.rate), self.rate)
        self._mono = np.zeros(self._block_samples(self.rate), dtype=np.float32)
        self._channels = channels
        self._due_s = 0.0  # when the next sample should be taken from the air, on PortAudio's clock; 0: not known
        self._stopped = False

    @staticmethod
    def _block_samples(rate: int) -> int:
        return rate * _CALLBACK_MS // 1000

    def _open(self, sd: Any, found: InputDevice, asked: int) -> tuple[Any, int, int]:
        # Dictionaries keep order: the ways to open it from the best to the one that the device itself states.
        rates = (asked, SAMPLE_RATE, found.rate)
        ways = dict.fromkeys((rate, channels) for rate in rates for channels in (1, found.channels))
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
        now_s = _now_s()
        if self.heard_s is not None and now_s - self.heard_s > _ASLEEP_S:
            self._ring.close()  # nobody can say what this sound follows on: what ends here can be begun again
            return
        self.heard_s = now_s
        if self.began_s is None:
            self.began_s = now_s - frames / self.rate
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
                f"the microphone {self.name!r} stopped giving sound; see that it is plugged in and switched on, and "
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

    @property
    def lag_samples(self) -> int:
        """Samples, at `rate`, that were heard and not given yet."""
        return self._ring.waiting
