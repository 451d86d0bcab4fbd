"""What the commands share: options, and how a profile is opened."""

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_completion import inputs, people
from stream.errors import OutputError, ProfileError, UsageError
from stream.text import safe_text, system_reason

if TYPE_CHECKING:
    from model.encoder import Encoder
    from model.profile import Profile

__all__ = [
    "DeviceOption",
    "ForceOption",
    "JsonOption",
    "KeepAudioOption",
    "KnownName",
    "ProfileOption",
    "SpeechOption",
    "SpeedOption",
    "UnknownOption",
    "called",
    "can_draw",
    "check_results",
    "check_writable",
    "device_of",
    "hush",
    "is_hushed",
    "look_after",
    "open_closed_streams",
    "open_profile",
    "say",
    "speed_of",
    "write_text",
]

KeepAudioOption = Annotated[
    bool, typer.Option("--keep-audio/--no-audio", help="Keep the sound, so that a better model can hear it again.")
]


KnownName = Annotated[str, typer.Argument(autocompletion=people)]


ForceOption = Annotated[
    bool, typer.Option("--force", help="Keep it even if it does not sound like the person of that name so far.")
]


ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", metavar="DIR", help="Where the known people are. [default: your data folder]"),
]


DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME|N",
        help="An input of `livespeaker devices`. [default: the system's]",
        autocompletion=inputs,
    ),
]


SpeedOption = Annotated[str, typer.Option("--speed", metavar="1|N|max", help="How fast: 1 is as it was recorded.")]


JsonOption = Annotated[str | None, typer.Option("--json", metavar="FILE", help="All figures; - is for a pipe.")]


def open_closed_streams() -> None:
    """Let a standard stream that was closed (`>&-`) lead nowhere, or the next file would be opened in its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


UnknownOption = Annotated[
    float,
    typer.Option(
        "--unknown",
        metavar="P",
        min=0.01,
        max=0.99,
        help="How probable a voice of nobody's is held to be before it is heard: more, and fewer strangers get a name.",
    ),
]


SpeechOption = Annotated[
    float,
    typer.Option("--speech", metavar="P", min=0.01, max=0.99, help="From this probability on, sound counts as speech."),
]


_hushed = False


def hush() -> None:
    """Let `say` say nothing from now on."""
    global _hushed
    _hushed = True


def is_hushed() -> bool:
    """Whether only what goes wrong is told."""
    return _hushed


def say(line: str) -> None:
    """A line for eyes, on standard error: standard output is for decisions."""
    if not _hushed:
        print(line, file=sys.stderr)  # noqa: T201


def can_draw() -> bool:
    """Standard output is a terminal that knows Unicode and moves its cursor."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    moves = os.environ.get("TERM", "").lower() not in ("dumb", "unknown")  # an editor's shell, a log
    return sys.stdout.isatty() and utf8 and moves


def called() -> str:
    """How the user calls this program: by its name where the shell finds it, else as it was typed."""
    typed = sys.argv[0]
    return typed if Path(typed).stem == "livespeaker" and not shutil.which("livespeaker") else "livespeaker"


def write_text(file: str, text: str) -> None:
    """Write a file, or standard output where it is called `-`.

    Raises:
        OutputError: it cannot be written.
    """
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"expected to write {file}, got: {system_reason(error)}; give another file") from error


def check_results(json_file: str | None, plots: Path | None) -> None:
    """Nobody measures for minutes to hear then that it cannot be kept. The folder for pictures is made.

    Raises:
        OutputError: the file or the folder cannot be written.
    """
    for file in [Path(json_file)] if json_file and json_file != "-" else []:
        where = file if file.exists() else file.parent
        if file.is_dir() or not file.parent.is_dir() or not os.access(where, os.W_OK):
            raise OutputError(f"expected a file that can be written, got {safe_text(str(file))}; give another --json")
    if plots:
        try:
            plots.mkdir(parents=True, exist_ok=True)
            if not os.access(plots, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise OutputError(
                f"expected to write pictures into {safe_text(str(plots))}, got: {system_reason(error)}; "
                "give another folder"
            ) from error


def speed_of(text: str) -> float | None:
    """What `--speed` says; None is as fast as it goes.

    Raises:
        UsageError: it is neither a number nor max.
    """
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"expected a speed of 1, another number or max, got {text!r}; try: --speed max") from None


def device_of(text: str | None) -> str | int | None:
    """What `--device` says: a number, a part of a name, or nothing."""
    return int(text) if text is not None and text.isdecimal() else text


def open_profile(
    folder: Path | None, *, needed: bool = False, encoder: "Encoder | None" = None
) -> "tuple[Encoder, Profile]":
    """The weights, unless they are there, then the profile: what can fail opens before any sound does."""
    from model import joined
    from model.encoder import Encoder

    encoder = encoder or Encoder.load()
    profile = joined.open_profile(encoder, folder)
    if needed and not profile.voices:
        say("Nobody is enrolled yet, so everybody will be unknown. Enrol someone: livespeaker enroll NAME --mic")
    return encoder, profile


def check_writable(folder: Path | None) -> None:
    """Nobody reads aloud for half a minute to hear then that it cannot be kept.

    Raises:
        ProfileError: the profile's folder cannot be written to.
    """
    from model.profile import default_profile

    folder = folder or default_profile()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise ProfileError(
            f"cannot write to the profile in {safe_text(str(folder))}: permission denied; "
            "give --profile a folder that is yours"
        )


def look_after(folder: Path | None) -> "Profile":
    """The profile without the network: enough for everything but adding somebody."""
    from model.profile import Profile, default_profile

    return Profile(folder or default_profile(), None)
