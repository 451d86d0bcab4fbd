"""What the commands share: options, how a profile is opened, how a session is shown."""

import os
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.errors import FileError, OutputError, ProfileError, UsageError
from stream.text import safe_text, system_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.encoder import Encoder
    from model.profile import Profile
    from stream.outputs import Output
    from stream.recognizer import Stages
    from stream.session import Source

__all__ = [
    "DeviceOption",
    "JsonlOption",
    "PlainOption",
    "ProfileOption",
    "RttmOption",
    "Shown",
    "SpeedOption",
    "VerboseOption",
    "check_writable",
    "device_of",
    "look_after",
    "open_profile",
    "run_shown",
    "say",
    "speed_of",
    "stages_of",
    "write_text",
]

ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", metavar="DIR", help="Where the known people are. [default: your data folder]"),
]


DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME|N", help="An input of `livespeaker devices`. [default: the system's]"),
]


JsonlOption = Annotated[
    str | None,
    typer.Option("--jsonl", metavar="FILE|-", help="Write every decision as JSON Lines; - is standard output."),
]


RttmOption = Annotated[str | None, typer.Option("--rttm", metavar="FILE|-", help="Write the final turns as RTTM.")]


PlainOption = Annotated[bool, typer.Option("--plain", help="One line per turn, no dashboard.")]


VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Guesses too, and what is going on.")]


SpeedOption = Annotated[str, typer.Option("--speed", metavar="1|N|max", help="How fast: 1 is as it was recorded.")]


def say(line: str) -> None:
    """A line for eyes, on standard error: standard output is for decisions."""
    print(line, file=sys.stderr)  # noqa: T201


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


@dataclass(frozen=True, slots=True)
class Shown:
    """Where the decisions go."""

    jsonl: str | None
    rttm: str | None
    plain: bool
    verbose: bool

    def __post_init__(self) -> None:
        if self.jsonl is not None and self.jsonl == self.rttm:
            raise UsageError(f"--jsonl and --rttm cannot both write to {safe_text(self.jsonl)}; give each its own file")

    @property
    def lines(self) -> bool:
        """Standard output is free for eyes."""
        return "-" not in (self.jsonl, self.rttm)

    @property
    def dashboard(self) -> bool:
        """There is a terminal that can draw it."""
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        return self.lines and not self.plain and sys.stdout.isatty() and utf8


def run_shown(open_source: "Callable[[], Source]", stages: "Stages", shown: Shown, *also: "Output") -> None:
    """Open where decisions go, then the sound, and run until it ends."""
    from stream.clock import samples_to_seconds
    from stream.dashboard import Dashboard
    from stream.outputs import JsonLines, Lines, Rttm
    from stream.quiet import quiet_libraries
    from stream.recognizer import Recognizer
    from stream.session import run_session

    with ExitStack() as stack:
        source = open_source()
        outputs: list[Output] = [*also]
        if shown.jsonl:
            outputs.append(stack.enter_context(JsonLines(shown.jsonl, source.name)))
        if shown.rttm:
            outputs.append(stack.enter_context(Rttm(shown.rttm, Path(source.name).stem)))
        if shown.lines and not shown.dashboard:
            outputs.append(stack.enter_context(Lines(verbose=shown.verbose)))
        recognizer = Recognizer(stages, source.name, source.rate, source.latency_samples)
        if shown.verbose or not shown.dashboard:
            first, final = recognizer.latency_samples, recognizer.final_latency_samples
            say(
                f"Listening to {source.name}: a guess after {samples_to_seconds(first):.2f} s, "
                f"final after {samples_to_seconds(final):.2f} s."
            )
        stack.enter_context(quiet_libraries())
        stack.enter_context(source)
        if shown.dashboard:
            stack.enter_context(Dashboard(lambda: recognizer.snapshot))
        run_session(source, recognizer, outputs)
    if shown.dashboard:  # the screen is gone; what was decided stays
        with Lines() as lines:
            for turn in recognizer.snapshot.turns:
                lines.write(turn)
    if warning := getattr(source, "warning", None):  # what came was heard and told; the rest is still to be had
        raise FileError(f"{warning}; get it again whole")


def open_profile(folder: Path | None, *, needed: bool = False) -> "tuple[Encoder, Profile]":
    """The weights, then the profile: what can fail opens before any sound does."""
    from model.encoder import Encoder
    from model.enrol import embed_references
    from model.profile import BaseModel, Profile, default_profile

    encoder = Encoder.load()
    base = BaseModel(encoder.weights.sha256, asdict(encoder.weights.mfcc))
    profile = Profile(folder or default_profile(), base, embed=lambda samples: embed_references(encoder, samples))
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


def stages_of(encoder: "Encoder", profile: "Profile") -> "Stages":
    """The stages of a session, which follows the profile while it runs."""
    from model.window import scorer_of
    from stream.recognizer import Stages

    return Stages(
        encoder.mfcc,
        encoder.stream,
        lambda: scorer_of(profile.voices, encoder.weights, profile.head),
        changed=profile.refresh,
    )
