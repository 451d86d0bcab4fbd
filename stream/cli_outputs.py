"""Where a session's decisions go: the options that `demo`, `live` and `replay` share, and how a session is shown."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_shared import can_draw, hush, say
from stream.errors import FileError, UsageError
from stream.text import safe_text

if TYPE_CHECKING:
    from stream.controls import Abilities
    from stream.outputs import Output
    from stream.recognizer import Recognizer, Stages
    from stream.session import Source
    from stream.steered import Steered
    from stream.summary import Summary

__all__ = ["Shown", "run_shown", "shown_options"]

_STANDARD_OUTPUT = "-"
_FILES = ("jsonl", "rttm", "srt", "vtt", "labels", "csv", "record", "timeline")


@dataclass(frozen=True, slots=True)
class Shown:
    """Where the decisions go. The fields are the options of the commands that `shown_options` gives them to.

    Raises:
        UsageError: two of them are one file, `reference` has no picture to be drawn in, or no key can end `paused`.
    """

    jsonl: Annotated[
        str | None,
        typer.Option("--jsonl", metavar="FILE|-", help="Write every decision as JSON Lines; - is standard output."),
    ] = None
    rttm: Annotated[
        str | None, typer.Option("--rttm", metavar="FILE|-", help="Write the final turns as RTTM, for scorers.")
    ] = None
    srt: Annotated[
        str | None, typer.Option("--srt", metavar="FILE|-", help="Write the final turns as SubRip subtitles.")
    ] = None
    vtt: Annotated[
        str | None, typer.Option("--vtt", metavar="FILE|-", help="Write the final turns as WebVTT subtitles.")
    ] = None
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="FILE|-", help="Write the final turns as Audacity labels.")
    ] = None
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE|-", help="Write the final turns as a table for spreadsheets.")
    ] = None
    record: Annotated[
        str | None, typer.Option("--record", metavar="FILE", help="Keep the sound, to replay it: .wav or .flac.")
    ] = None
    timeline: Annotated[
        str | None, typer.Option("--timeline", metavar="FILE", help="Draw who spoke when, at the end: .png or .svg.")
    ] = None
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="RTTM", help="What was really said, for --timeline.")
    ] = None
    plain: Annotated[bool, typer.Option("--plain", help="One line per turn, no dashboard.")] = False
    paused: Annotated[bool, typer.Option("--paused", help="Begin paused; the key p goes on.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Guesses too, and what is going on.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on standard error but what went wrong.")] = False

    def __post_init__(self) -> None:
        if self.reference is not None and self.timeline is None:
            raise UsageError("--reference is drawn into the picture of --timeline, which was not asked for; add it")
        if self.paused and not self.keys:
            raise UsageError("expected a dashboard for --paused, whose key p goes on, got none; leave --paused out")
        taken: dict[object, str] = {}
        for option, file in self._files():
            other = taken.setdefault(_identity(file), option)
            if other != option:
                raise UsageError(f"{other} and {option} cannot both write to {safe_text(file)}; give each its own file")
        if self.reference is not None:
            self.keep(self.reference)

    def keep(self, file: str | Path) -> None:
        """See that a file that is read is not written over.

        Raises:
            UsageError: it would be.
        """
        for option, written in self._files():
            if str(file) != _STANDARD_OUTPUT and _identity(str(file)) == _identity(written):
                raise UsageError(f"{option} would write over {safe_text(str(file))}, which is read; give another file")

    @property
    def written(self) -> list[str]:
        """The files that hold something when a session has ended."""
        return [file for _, file in self._files() if file != _STANDARD_OUTPUT]

    def _files(self) -> Iterator[tuple[str, str]]:
        for name in _FILES:
            file = getattr(self, name)
            if file is not None:
                yield f"--{name}", file

    @property
    def lines(self) -> bool:
        """Standard output is free for eyes."""
        return _STANDARD_OUTPUT not in (file for _, file in self._files())

    @property
    def dashboard(self) -> bool:
        """There is a terminal that can draw it."""
        return self.lines and not self.plain and can_draw()

    @property
    def keys(self) -> bool:
        """The session can be steered by keys."""
        from stream.keys import can_read_keys

        return self.dashboard and can_read_keys()


def shown_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with a parameter `shown` becomes one that has the options of `Shown` in its place.

    Typer reads a signature: this one says each option once, instead of in every command.
    """

    @wraps(command)
    def with_options(**given: object) -> None:
        shown = Shown(**{field.name: given.pop(field.name) for field in fields(Shown)})  # type: ignore[arg-type]
        if shown.quiet:
            hush()
        command(**given, shown=shown)

    own = [each for each in inspect.signature(command).parameters.values() if each.name != "shown"]
    options = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(Shown)
    ]
    parameters = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *options]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options


def run_shown(
    open_source: "Callable[[], Source]",
    stages: "Stages",
    shown: Shown,
    *also: "Output",
    waits: bool = True,
    able: "Callable[[Source], Abilities] | None" = None,
) -> None:
    """Open where decisions go, then the sound, and run until it ends.

    Args:
        open_source: opens what is listened to.
        stages: of the recognizer.
        shown: where decisions go.
        also: more outputs.
        waits: whether the source does, when an output takes its time; one that does not is not made to.
        able: what keys can do in a session with such a source, in a terminal; what needs no profile they can always do.
    """
    from stream.clock import samples_to_seconds
    from stream.controls import Controls
    from stream.dashboard import Dashboard
    from stream.keys import Keyboard
    from stream.quiet import quiet_libraries
    from stream.recognizer import Recognizer
    from stream.recording import Recorded, check_recording_path, open_recording
    from stream.session import run_session
    from stream.steered import Steered
    from stream.summary import Summary
    from stream.timeline import check_timeline_path

    if shown.record:
        check_recording_path(shown.record)
    if shown.timeline:
        check_timeline_path(shown.timeline)
    with ExitStack() as after, ExitStack() as stack:
        source = open_source()
        steered = Steered(source) if shown.keys else None
        heard: Source = steered or source
        summary = Summary(source.name)
        files = (stack.enter_context(output) for output in _open_outputs(shown, source.name, waits=waits))
        outputs = [summary, *also, *files]
        if shown.record:
            heard = Recorded(heard, stack.enter_context(open_recording(shown.record, source.rate)))
        recognizer = Recognizer(stages, source.name, source.rate, source.latency_samples)
        if shown.verbose or not shown.dashboard:
            first, final = recognizer.latency_samples, recognizer.final_latency_samples
            say(
                f"Listening to {source.name}: a guess after {samples_to_seconds(first):.2f} s, "
                f"final after {samples_to_seconds(final):.2f} s."
            )
        stack.enter_context(quiet_libraries())
        stack.enter_context(heard)
        if shown.dashboard:
            if steered:
                controls = Controls(steered, lambda: recognizer.snapshot, able(source) if able else None)
                stack.enter_context(controls)
                if shown.paused:
                    controls.press("p")
                stack.enter_context(Dashboard(lambda: recognizer.snapshot, footer=controls.footer))
                stack.enter_context(Keyboard(controls.press))
            else:
                stack.enter_context(Dashboard(lambda: recognizer.snapshot))
        # Once the screen is gone and the files are closed, and also when one of them has failed.
        after.callback(_tell_end, shown, recognizer, summary, steered)
        run_session(heard, recognizer, outputs, goes_on_alone=shown.dashboard or bool(shown.record))
    if warning := getattr(source, "warning", None):  # what came was heard and told; the rest is still to be had
        raise FileError(f"{warning}; get it again whole")


def _tell_end(shown: Shown, recognizer: "Recognizer", summary: "Summary", steered: "Steered | None") -> None:
    """What was decided stays in the terminal, and what it came to."""
    from stream.outputs import Lines

    if shown.dashboard:
        with Lines() as lines:
            for turn in recognizer.snapshot.turns:
                lines.write(turn)
    if shown.dashboard or shown.verbose:
        for line in summary.lines([*shown.written, *(steered.recorded if steered else ())]):
            say(line)


def _open_outputs(shown: Shown, source: str, *, waits: bool) -> "Iterator[Output]":
    from stream.behind import Behind

    for output, file in _outputs(shown, source):
        if waits or file == shown.timeline:  # a picture keeps everything until it is drawn
            yield output
        else:
            yield Behind(output, "standard output" if file == _STANDARD_OUTPUT else safe_text(file))


def _outputs(shown: Shown, source: str) -> "Iterator[tuple[Output, str]]":
    from stream.captions import Srt, Vtt
    from stream.outputs import JsonLines, Lines, Notices, Rttm
    from stream.rttm import read_rttm
    from stream.tables import Csv, Labels

    reference = read_rttm(shown.reference) if shown.reference else ()  # what can fail comes first
    if shown.jsonl:
        yield JsonLines(shown.jsonl, source), shown.jsonl
    if shown.rttm:
        yield Rttm(shown.rttm, Path(source).stem), shown.rttm
    for file, kind in ((shown.srt, Srt), (shown.vtt, Vtt), (shown.labels, Labels), (shown.csv, Csv)):
        if file:
            yield kind(file), file
    if shown.timeline:
        from stream.timeline import Timeline

        yield Timeline(shown.timeline, source, reference), shown.timeline
    if shown.lines and not shown.dashboard:
        yield Lines(verbose=shown.verbose), _STANDARD_OUTPUT
    if not shown.dashboard and not (shown.lines and sys.stdout.isatty()):  # eyes see it once
        yield Notices(), "standard error"


def _identity(file: str) -> object:
    """What two spellings of one file have in common, whether or not it is there."""
    try:
        status = os.fstat(sys.stdout.fileno()) if file == _STANDARD_OUTPUT else os.stat(file)
    except (OSError, ValueError):
        return os.path.normcase(os.path.realpath(file)) if "\0" not in file else file
    return status.st_dev, status.st_ino
