"""Everything that livespeaker raises on purpose.

    LivespeakerError            the root: one line, what was wanted, what was got, what to do next
    |-- UsageError              an argument that cannot be (speed 0, an empty name)
    |-- AudioError              sound that cannot be had
    |   |-- DeviceError         no PortAudio, no such device, a device that vanished
    |   `-- FileError           missing, empty, truncated or not audio
    |-- EnrolmentError          speech that cannot become a voice (silent, clipped, too short)
    |-- ProfileError            a profile that cannot be read or written
    |-- WeightsError            weights that do not fit the program
    |-- OutputError             an output that cannot be written
    `-- ReaderGoneError         nobody reads standard output any more: a reason to end, not a failure

The command line prints the message and exits with 1; it never shows a traceback for one of these. ReaderGoneError ends
it without a word.
"""

__all__ = [
    "AudioError",
    "DeviceError",
    "EnrolmentError",
    "FileError",
    "LivespeakerError",
    "OutputError",
    "ProfileError",
    "ReaderGoneError",
    "UsageError",
    "WeightsError",
]


class LivespeakerError(Exception):
    """The root of every error raised on purpose."""


class UsageError(LivespeakerError):
    """An argument has a value that cannot work."""


class AudioError(LivespeakerError):
    """Sound cannot be had."""


class DeviceError(AudioError):
    """A microphone cannot be opened, or went away."""


class FileError(AudioError):
    """A file is missing, empty, truncated or not audio."""


class EnrolmentError(LivespeakerError):
    """Speech does not make a voice: silent, clipped or too short."""


class ProfileError(LivespeakerError):
    """A profile cannot be read or written."""


class WeightsError(LivespeakerError):
    """Weights are missing, damaged or made for another program."""


class OutputError(LivespeakerError):
    """A file of decisions, or standard output, cannot be written."""


class ReaderGoneError(LivespeakerError):
    """Whoever read our standard output has left (`| head`): a reason to end quietly, not a failure.

    No OutputError: who goes on without an output that failed must still end here.
    """
