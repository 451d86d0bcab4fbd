"""A microphone that may go away and come back: unplugged, taken by another program, asleep, refused.

It says what happened, waits, and is opened again by its name; the time between is a gap on the stream's clock, as long
as it really was. PortAudio lists the devices when it starts and never again, so it is started anew before each look,
always by the thread that iterates over `blocks`, and while no stream is open: ending PortAudio would close it.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType

from stream.devices import InputDevice, find_input, list_inputs, look_again
from stream.errors import LivespeakerError
from stream.microphone import Microphone
from stream.recorded import POLL_S
from stream.records import Block, Loss, Notice
from stream.resample import Resampler
from stream.text import one_line, safe_text

__all__ = ["SteadyMicrophone"]

_RETRY_S = 1.0  # between two looks, each of which takes some 50 ms of work
_MUTED_S = 10.0  # nobody pauses in digital silence for so long, whose microphone has a gate against noise
_CARD = re.compile(r" *\(hw:\d+,\d+\)$")  # ALSA's number of a card, which changes with the order of plugging in


class SteadyMicrophone:
    """A sound input that is heard for as long as the session lasts. Opened when it is made, running inside `with`.

    Args:
        device: see `find_input`; which one it is is decided once, and then it is known by its name. None is the default
            of each moment at which one must be opened.
        buffer_s: see `Microphone`.

    Attributes:
        name: of the device that is listened to now, or was last.
        rate: samples a second of what `blocks` gives, whichever device it comes from.
        latency_samples: the first device's, at `rate`.

    Raises:
        DeviceError: it cannot be opened or started now. Once it ran, nothing is an error any more.
    """

    def __init__(self, device: str | int | None = None, *, buffer_s: float = 5.0) -> None:
        self._microphone: Microphone | None = Microphone(device, buffer_s=buffer_s)
        self._wanted = None if device is None else self._microphone.device
        self._buffer_s = buffer_s
        self.name, self.rate = self._microphone.name, self._microphone.rate
        self.latency_samples = self._microphone.latency_samples
        self._lost = Loss()  # by the devices before, and between them
        self._end = 0  # one past the last sample given, at `rate`
        self._heard_s: float | None = None  # when that sample came, as `Microphone.heard_s`
        self._stopped = False  # a plain flag: a signal handler may set it without waiting for a lock
        self._changing = False  # another input was chosen, and is not open yet

    def __enter__(self) -> "SteadyMicrophone":
        if self._microphone is not None:
            self._microphone.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._close()

    def blocks(self) -> Iterator[Block | Notice]:
        """The sound, as it comes, until `stop`, and what happens to the microphone.

        Yields:
            Blocks counted at `rate` since the first sound; a jump in `start` is lost sound, at its real length.
        """
        told = ""  # what is wrong, and has been said
        while not self._stopped:
            changing, self._changing = self._changing, False
            if changing:
                self._close()
            try:
                for heard in self._listen(again=changing or bool(told)):
                    told = ""
                    yield heard
            except LivespeakerError as error:
                self._close()
                problem = f"{one_line(error).partition(';')[0]}; waiting for it"  # what to do is for who starts it
                if problem != told:
                    yield Notice(safe_text(problem), waiting=True)
                    told = problem
                self._rest()

    def stop(self) -> None:
        """Make `blocks` end after what was heard so far; from any thread or signal handler."""
        self._stopped = True
        if (microphone := self._microphone) is not None:
            microphone.stop()

    def choose(self, device: InputDevice) -> None:
        """Listen to another input from now on; from any thread. What comes between the two is a gap."""
        self._wanted, self._changing = device, True
        if (microphone := self._microphone) is not None:
            microphone.stop()

    @property
    def loss(self) -> Loss:
        """What was lost so far, the time without a microphone included."""
        return self._lost + self._loss_now()

    @property
    def lag_samples(self) -> int:
        """Samples, at `rate`, that were heard and not given yet."""
        microphone = self._microphone
        return 0 if microphone is None else round(microphone.lag_samples * self.rate / microphone.rate)

    def _listen(self, *, again: bool) -> Iterator[Block | Notice]:
        microphone = self._microphone or self._open()
        resampler: Resampler | None = None
        before = self.name
        muted = 0  # samples of digital silence until now, at `rate`
        offset = 0  # of this device's clock to the stream's
        for block in microphone.blocks():
            if resampler is None:
                resampler = Resampler(microphone.rate, self.rate)
                offset = self._since(microphone)
                self.name = microphone.name
                if again:
                    instead = f" instead of {before!r}" if before != self.name else " again"
                    yield Notice(safe_text(f"listening to {self.name!r}{instead}"))
            for sound in resampler.push(block):
                was_muted = muted >= _MUTED_S * self.rate
                muted = 0 if sound.samples.any() else muted + len(sound.samples)
                if was_muted != (muted >= _MUTED_S * self.rate):
                    yield Notice(
                        "there is sound again"
                        if was_muted
                        else f"digital silence for {_MUTED_S:.0f} s: is the microphone muted?"
                    )
                yield replace(sound, start=offset + sound.start)
            self._end = offset + round((block.start + len(block.samples)) * self.rate / microphone.rate)

    def _since(self, microphone: Microphone) -> int:
        """Where on the stream's clock the sound of a device that was just opened begins."""
        if self._heard_s is None or microphone.began_s is None:
            return 0
        missing = max(round((microphone.began_s - self._heard_s) * self.rate), 1)  # a gap must be seen as one
        self._lost += Loss(samples=missing)
        return self._end + missing

    def _open(self) -> Microphone:
        look_again()
        device: int | None = None
        if (wanted := self._wanted) is not None:
            inputs = list_inputs()
            inputs = [each for each in inputs if each.host_api == wanted.host_api] or inputs
            same = [each for each in inputs if each.name == wanted.name]
            device = (same[0] if same else find_input(inputs, _CARD.sub("", wanted.name))).index
        microphone = Microphone(device, rate=self.rate, buffer_s=self._buffer_s)
        microphone.__enter__()
        self._microphone = microphone
        if self._stopped or self._changing:  # meanwhile
            microphone.stop()
        return microphone

    def _close(self) -> None:
        if self._microphone is None:
            return
        self._heard_s = self._microphone.heard_s or self._heard_s
        self._lost += self._loss_now()
        microphone, self._microphone = self._microphone, None
        microphone.__exit__(None, None, None)

    def _loss_now(self) -> Loss:
        if (microphone := self._microphone) is None:
            return Loss()
        loss = microphone.loss
        return replace(loss, samples=round(loss.samples * self.rate / microphone.rate))

    def _rest(self) -> None:
        until_s = time.monotonic() + _RETRY_S
        while not self._stopped and time.monotonic() < until_s:
            time.sleep(POLL_S)
