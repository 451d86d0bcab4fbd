"""The sound inputs that PortAudio finds, and which of them the user means.

`sounddevice` is imported where it is used: a machine without PortAudio still shows help and replays files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stream.errors import DeviceError
from stream.quiet import quiet_stderr
from stream.text import one_line

__all__ = ["InputDevice", "find_input", "import_sounddevice", "list_inputs", "look_again"]

_NO_PORTAUDIO = (
    "the microphone needs PortAudio, which is not installed ({}): on Debian or Ubuntu run `sudo apt install "
    "libportaudio2`, on Fedora `sudo dnf install portaudio`, on macOS `brew install portaudio`, on Windows `pip "
    "install --force-reinstall sounddevice`, which brings it along"
)
_NO_START = "PortAudio is installed but cannot start: {}; see that the sound system runs"
_NO_INPUT = (
    "no sound input was found: plug in a microphone, or allow this program to use it, and look again with "
    "`livespeaker devices`; files need none: `livespeaker replay FILE`"
)


@dataclass(frozen=True, slots=True)
class InputDevice:
    """A sound input that PortAudio found when it was started."""

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
    sd = import_sounddevice()
    default = sd.default.device[0]
    try:
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
    except sd.PortAudioError as error:
        raise DeviceError(f"the sound inputs cannot be listed: {one_line(error)}; look again") from error
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


def look_again() -> None:
    """Make PortAudio look for devices anew, which it does when it starts and never again.

    It is ended and started: no stream may be open, in any thread.

    Raises:
        DeviceError: it cannot start again.
    """
    sd = import_sounddevice()
    try:
        with quiet_stderr():
            while sd._initialized:
                sd._terminate()
            sd._initialize()
    except sd.PortAudioError as error:
        raise DeviceError(_NO_START.format(one_line(error))) from error


def import_sounddevice() -> Any:
    """The module, which starts PortAudio when it is imported first.

    Raises:
        DeviceError: PortAudio is missing or cannot start.
    """
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(_NO_PORTAUDIO.format(one_line(error))) from error
    except Exception as error:  # PortAudioError, which has no name before the import that raises it
        raise DeviceError(_NO_START.format(one_line(error))) from error
    return sounddevice
