"""The command line: parse, open, call, print, exit code. The one place where `stream` meets `model`.

Imports that cost time are made by the command that needs them: `--help` is there at once.
"""

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from stream.errors import (
    AudioError,
    EnrolmentError,
    FileError,
    LivespeakerError,
    OutputError,
    ProfileError,
    ReaderGoneError,
    UsageError,
)
from stream.text import safe_text, system_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from model.encoder import Encoder
    from model.profile import Profile
    from stream.outputs import Output
    from stream.recognizer import Stages
    from stream.session import Source

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Who is speaking, live from the microphone, on your own machine.",
    epilog="Begin with: livespeaker demo",
)
speakers = typer.Typer(help="Look after the known people.", invoke_without_command=True)
app.add_typer(speakers, name="speakers")

ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", metavar="DIR", help="Where the known people are. [default: your data folder]"),
]
JsonlOption = Annotated[
    str | None,
    typer.Option("--jsonl", metavar="FILE|-", help="Write every decision as JSON Lines; - is standard output."),
]
RttmOption = Annotated[str | None, typer.Option("--rttm", metavar="FILE|-", help="Write the final turns as RTTM.")]
PlainOption = Annotated[bool, typer.Option("--plain", help="One line per turn, no dashboard.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Guesses too, and what is going on.")]
SpeedOption = Annotated[str, typer.Option("--speed", metavar="1|N|max", help="How fast: 1 is as it was recorded.")]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME|N", help="An input of `livespeaker devices`. [default: the system's]"),
]


def main() -> NoReturn:
    """Run the command line; errors of the user's or the data's end with one line and exit code 1."""
    try:
        app()
    except ReaderGoneError:
        sys.exit(0)  # whoever read our output has enough
    except LivespeakerError as error:
        print(f"livespeaker: {error}", file=sys.stderr)  # noqa: T201 - a command line talks
        sys.exit(1)
    sys.exit(0)


@app.command()
def demo(
    speed: Annotated[
        str | None, typer.Option("--speed", metavar="1|N|max", help="[default: 1 with a dashboard, max without]")
    ] = None,
    jsonl: JsonlOption = None,
    rttm: RttmOption = None,
    plain: PlainOption = False,
    verbose: VerboseOption = False,
) -> None:
    """A bundled (synthetic) conversation through the whole path; no microphone, nothing to prepare."""
    import tempfile

    from stream.demonstration import CONVERSATION, ENROLMENT, Collect, report
    from stream.replay import open_source

    shown = Shown(jsonl, rttm, plain, verbose)
    screen = shown.dashboard
    with tempfile.TemporaryDirectory(prefix="livespeaker-demo-") as folder:
        encoder, profile = _open(Path(folder) / "profile")
        for name, file in ENROLMENT.items():
            _say(f"Enrolling {name} from {file.name}")
            _enrol(encoder, profile, name, [open_source(file, None)])
        _say("Four synthetic voices talk for about a minute. One of them was never enrolled.\n")
        collect = Collect()
        pace = _speed(speed or ("1" if screen else "max"))
        _run(lambda: open_source(CONVERSATION, pace), _stages(encoder, profile), shown, collect)
    for line in report(collect):
        _say(line)


@app.command()
def devices() -> None:
    """The sound inputs, the default marked with *."""
    from rich.console import Console
    from rich.table import Table

    from stream.microphone import list_inputs

    table = Table("", "N", "Name", "Host", "Channels", "Rate", box=None, pad_edge=False)
    for device in list_inputs():
        table.add_row(
            "*" if device.is_default else "",
            str(device.index),
            safe_text(device.name),
            device.host_api,
            str(device.channels),
            f"{device.rate:.0f} Hz",
        )
    Console(markup=False, highlight=False).print(table)


@app.command()
def enroll(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Who it is: any text.")] = None,
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE ...]", help="Recordings of this person.")] = None,
    mic: Annotated[bool, typer.Option("--mic", help="From the microphone; Ctrl-C keeps what was heard.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Everybody who has a folder of recordings in it, by its name."),
    ] = None,
    device: DeviceOption = None,
    keep_audio: Annotated[
        bool, typer.Option("--keep-audio/--no-audio", help="Keep the sound, so that a better model can hear it again.")
    ] = True,
    profile: ProfileOption = None,
) -> None:
    """Make a person known from files or the microphone, or everybody in a folder; several calls add up."""
    from model.profile import check_name
    from stream.replay import open_source

    if folder is not None:
        if name is not None or mic:
            raise UsageError(
                f"--folder takes every name from a folder, got {'--mic' if name is None else safe_text(repr(name))} as "
                "well; try: livespeaker enroll --folder DIR"
            )
        _enrol_folder(folder, profile, keep_audio=keep_audio)
        return
    if name is None:
        raise typer.BadParameter("expected a NAME or --folder, got neither")
    name = check_name(name)
    if not files and not mic:
        raise UsageError("expected recordings or --mic, got neither; try: livespeaker enroll NAME FILE, or --mic")
    encoder, known = _open(profile)
    _check_writable(profile)
    sources = [open_source(file, None) for file in files or ()]
    microphone = None
    if mic:
        from stream.microphone import Microphone

        microphone = Microphone(_device(device))
    for line in _enrol(encoder, known, name, sources, keep_audio=keep_audio, mic=microphone):
        _say(line)


@app.command()
def live(
    device: DeviceOption = None,
    profile: ProfileOption = None,
    jsonl: JsonlOption = None,
    rttm: RttmOption = None,
    plain: PlainOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Who is speaking into the microphone, until Ctrl-C."""
    from stream.microphone import Microphone

    stages = _stages(*_open(profile, needed=True))
    _run(lambda: Microphone(_device(device)), stages, Shown(jsonl, rttm, plain, verbose))


@app.command()
def replay(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="A recording; - is raw s16le 16 kHz or WAV on standard input.")
    ],
    speed: SpeedOption = "1",
    profile: ProfileOption = None,
    jsonl: JsonlOption = None,
    rttm: RttmOption = None,
    plain: PlainOption = False,
    verbose: VerboseOption = False,
) -> None:
    """The same path from a recording, as if it were live."""
    from stream.replay import open_source

    pace = _speed(speed)
    stages = _stages(*_open(profile, needed=True))
    _run(lambda: open_source(file, pace), stages, Shown(jsonl, rttm, plain, verbose))


@speakers.callback()
def _speakers(context: typer.Context, profile: ProfileOption = None) -> None:
    context.obj = profile
    if context.invoked_subcommand is None:
        _list(profile)


@speakers.command("list")
def list_speakers(
    context: typer.Context,
    json_output: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Everybody who is known, and how good their voices are.

    good; short: less than 10 s of speech, enrol more; mixed: a part is unlike the rest, maybe somebody else.
    """
    _list(profile or context.obj, json_output=json_output)


@speakers.command()
def rename(context: typer.Context, old: str, new: str, profile: ProfileOption = None) -> None:
    """Give a person another name."""
    voice = _look_after(profile or context.obj).rename(old, new)
    _say(f"{safe_text(old)} is now {voice.name}.")


@speakers.command()
def remove(context: typer.Context, name: str, profile: ProfileOption = None) -> None:
    """Forget a person: the voice and the recordings are deleted."""
    _look_after(profile or context.obj).remove(name)
    _say(f"{safe_text(name)} is forgotten.")


@speakers.command()
def merge(context: typer.Context, into: str, other: str, profile: ProfileOption = None) -> None:
    """Two names were one person: OTHER's voice goes to INTO."""
    voice = _look_after(profile or context.obj).merge(into, other)
    _say(f"{safe_text(other)} is now part of {voice.name}.")


@speakers.command("export")
def export_speakers(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file, such as home.livespeaker.")],
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="The recordings that are kept, too.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Everybody who is known into one file, for another machine."""
    from model.profile import default_profile
    from model.profile_file import write_profile_file
    from model.profile_folder import ProfileFolder
    from model.profile_reader import listed

    folder = ProfileFolder(profile or context.obj or default_profile())
    written = write_profile_file(folder, file, audio=audio, force=force)
    who = listed([person.name for person in written.people])
    what = "voices and recordings" if any(person.audio() for person in written.people) else "voices"
    _say(f"{who}: {what} are in {safe_text(str(file))}. Whoever has the file has them.")


@speakers.command("import")
def import_speakers(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `speakers export` wrote.")],
    merge: Annotated[bool, typer.Option("--merge", help="People who are known already get known better.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Everybody in a file gets known here, all of them or nobody."""
    from model.profile_file import ProfileFile

    with ProfileFile(file) as found:
        encoder, known = _open(profile or context.obj)
        for voice in known.take_in(found, encoder.size, merge=merge):
            _say(f"{voice.name}: {voice.speech_s.sum():.0f} s of speech in {len(voice.vectors)} references.")


@app.command()
def pretrain(
    corpus: Annotated[Path, typer.Option("--corpus", metavar="DIR", help="A folder per speaker, or a manifest.csv.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the weights go.")],
    work: Annotated[Path, typer.Option("--work", metavar="DIR", help="Features and checkpoints; run again to go on.")],
    noise: Annotated[
        Path | None, typer.Option("--noise", metavar="DIR", help="Noise recordings. [default: CORPUS/noise, if there]")
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option("--teacher", metavar="FILE", help="Learn from other encoders' embeddings too."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times that --steps batches are seen.")] = 35,
    steps: Annotated[int, typer.Option(min=1, help="Batches in an epoch.")] = 400,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a batch.")] = 128,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 where that is faster: on a GPU, or a processor with AMX.")
    ] = "float32",
) -> None:
    """Train the network from a corpus of speech; killed, it goes on where it was."""
    from model.recipe import pretrain as run
    from stream.training_screen import TrainingScreen

    how = {"epochs": epochs, "steps_per_epoch": steps, "batch_size": batch, "seed": seed, "precision": precision}
    with TrainingScreen() as screen:
        run(corpus, out, work, noise, how, screen=screen, teacher=teacher)
    _say(f"The weights are in {out}. Read manifest.json for what they can do.")


evaluate = typer.Typer(help="Measure on recordings of your own.", no_args_is_help=True)
app.add_typer(evaluate, name="evaluate")


@evaluate.command()
def verify(
    corpus: Annotated[Path, typer.Argument(help="A folder per speaker, or a manifest.csv, of which `dev` is taken.")],
    seconds: Annotated[list[float], typer.Option("--seconds", min=0.2, help="Length of the crops; several add up.")] = [  # noqa: B006 - Typer copies it
        1.0,
        2.0,
        3.0,
    ],
    whole: Annotated[bool, typer.Option(help="Compare whole clips as well.")] = True,
    per_speaker: Annotated[int, typer.Option(min=2, help="Crops of a speaker and a length, at most.")] = 40,
    weights: Annotated[Path | None, typer.Option(metavar="DIR", help="Other weights than the shipped ones.")] = None,
    peer: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="Ask Resemblyzer too: the Python of where it is installed.")
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="All figures; - is for a pipe.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="DET curves and histograms, as PNG.")] = None,
    seed: Annotated[int, typer.Option(help="Of the crops and the intervals.")] = 0,
) -> None:
    """Tell voices apart by crops of speech: equal error rate, detection cost and Cllr, per corpus."""
    from rich.console import Console

    from model.corpus import read_test_corpus
    from model.encoder import Encoder
    from model.evaluate import WHOLE, cut_crops, to_json
    from model.evaluate import verify as run
    from model.report import draw, table
    from stream.training_screen import TrainingScreen

    encoder = Encoder.load(weights) if weights else Encoder.load()
    clips = read_test_corpus(corpus)
    lengths = [*dict.fromkeys(seconds), *([WHOLE] if whole else [])]
    named = sum(bool(clip.speaker) for clip in clips)
    with TrainingScreen() as screen:
        crops = cut_crops(
            clips,
            lengths,
            encoder,
            per_speaker=per_speaker,
            seed=seed,
            on_done=lambda done: screen.progress("crops", done, named),
            on_skip=screen.skip,
        )
        found = run(crops, encoder, peer_python=peer, seed=seed, on_done=screen.progress)
    if json_file:
        about = {"weights": encoder.weights.sha256, "seed": seed, "per_speaker": per_speaker}
        text = to_json(found, about) + "\n"
        _write(json_file, text)
    if json_file != "-":
        Console(markup=False, highlight=False).print(table(found.figures))
    for picture in draw(found, plots) if plots else ():
        _say(f"Drawn: {picture}")


def _write(file: str, text: str) -> None:
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"expected to write {file}, got: {system_reason(error)}; give another file") from error


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - standard output is for decisions


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"expected a speed of 1, another number or max, got {text!r}; try: --speed max") from None


def _device(text: str | None) -> str | int | None:
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


def _run(open_source: "Callable[[], Source]", stages: "Stages", shown: Shown, *also: "Output") -> None:
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
            _say(
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


def _open(folder: Path | None, *, needed: bool = False) -> "tuple[Encoder, Profile]":
    """The weights, then the profile: what can fail opens before any sound does."""
    from model.encoder import Encoder
    from model.enrol import embed_references
    from model.profile import BaseModel, Profile, default_profile

    encoder = Encoder.load()
    base = BaseModel(encoder.weights.sha256, asdict(encoder.weights.mfcc))
    profile = Profile(folder or default_profile(), base, embed=lambda samples: embed_references(encoder, samples))
    if needed and not profile.voices:
        _say("Nobody is enrolled yet, so everybody will be unknown. Enrol someone: livespeaker enroll NAME --mic")
    return encoder, profile


def _check_writable(folder: Path | None) -> None:
    # Nobody reads aloud for half a minute to hear then that it cannot be kept.
    from model.profile import default_profile

    folder = folder or default_profile()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise ProfileError(
            f"cannot write to the profile in {safe_text(str(folder))}: permission denied; "
            "give --profile a folder that is yours"
        )


def _look_after(folder: Path | None) -> "Profile":
    from model.profile import Profile, default_profile

    return Profile(folder or default_profile(), None)


def _list(folder: Path | None, *, json_output: bool = False) -> None:
    from model.voices import quality

    voices = _look_after(folder).voices
    if json_output:
        # Schema 1: it goes up when a program that reads it would misread a new one; new keys do not need it.
        people = [
            {
                "name": voice.name,
                "references": len(voice.vectors),
                "speech_s": round(float(voice.speech_s.sum()), 1),
                "quality": quality(voice),
                "audio": voice.has_audio,
                "added": voice.added,
            }
            for voice in voices
        ]
        sys.stdout.write(json.dumps({"schema": 1, "speakers": people}) + "\n")
        return
    if not voices:
        _say("Nobody is enrolled yet. Begin with: livespeaker enroll NAME --mic")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "Name", "References", "Speech", "Quality", "Audio kept", "Last change (UTC)", box=None, pad_edge=False
    )
    for voice in voices:
        table.add_row(
            voice.name,
            str(len(voice.vectors)),
            f"{voice.speech_s.sum():.0f} s",
            quality(voice),
            "yes" if voice.has_audio else "no",
            voice.added[:16].replace("T", " "),
        )
    Console(markup=False, highlight=False).print(table)


def _enrol(
    encoder: "Encoder",
    profile: "Profile",
    name: str,
    sources: "Iterable[Source]",
    *,
    keep_audio: bool = True,
    mic: "Source | None" = None,
) -> list[str]:
    """Hear every source, the microphone last, then change the profile once; lines about what came of it."""
    from model.enrol import Enrolment, alike
    from stream.enrol_screen import EnrolScreen
    from stream.quiet import quiet_libraries
    from stream.session import stopped_by_signals

    enrolment = Enrolment(encoder)
    for source in chain(sources, [mic] if mic else []):
        with quiet_libraries(), source, EnrolScreen(name, source.name) as screen, ExitStack() as stack:
            if source is mic:
                stack.enter_context(stopped_by_signals(source))
            for progress in enrolment.listen(source.blocks(), source.rate):
                screen.show(progress)
                if source is mic and progress.percent == 100:
                    source.stop()
        if warning := getattr(source, "warning", None):
            raise FileError(f"nobody was enrolled, because {warning}; get it again whole")
        if enrolment.full:
            break
    early = mic is not None and enrolment.progress.percent < 100 and not enrolment.full
    found = enrolment.finish()
    heard = found.progress
    voice = profile.add(name, found.vectors, found.speech_s, found.audio if keep_audio else ())
    lines = [f"{voice.name}: {voice.speech_s.sum():.0f} s of speech in {len(voice.vectors)} references."]
    if early:
        lines.append(f"Stopped early: what was heard is kept, {heard.speech_s:.0f} s of speech.")
    if heard.other_s:
        lines.append(f"Left out: {heard.other_s:.1f} s of speech that sounds like another voice.")
    if heard.verdict == "mixed":
        lines.append(
            f"Its coherence is mixed ({heard.coherence:.2f}): another voice or noise may be in it; record again, alone."
        )
    elif heard.verdict:
        lines.append(f"Its coherence is good ({heard.coherence:.2f}).")
    if heard.advice:
        lines.append(f"Could be better: {heard.advice}.")
    for other, cosine in alike(voice, profile.voices, encoder.weights):
        lines.append(f"{voice.name} and {other} sound alike ({cosine:.2f}): enrol more of both to tell them apart.")
    return lines


def _enrol_folder(folder: Path, profile: Path | None, *, keep_audio: bool) -> None:
    """Enrol everybody who has a folder of recordings; who cannot be enrolled is told at the end."""
    from model.corpus import people_in
    from model.profile import check_name
    from stream.replay import open_source

    people = people_in(folder)
    encoder, known = _open(profile)
    _check_writable(profile)
    failed = []
    for name, files in people.items():
        try:
            checked = check_name(name)
            if not files:
                raise FileError("expected recordings in the folder, found none; put WAV, FLAC, Opus or MP3 files there")
            sources = (open_source(file, None) for file in files)  # one open at a time: there may be thousands
            for line in _enrol(encoder, known, checked, sources, keep_audio=keep_audio):
                _say(line)
        except (AudioError, EnrolmentError, UsageError) as error:
            failed.append(f"{safe_text(name)} was not enrolled: {error}")
    for line in failed:
        _say(line)
    if failed:
        raise EnrolmentError(
            f"expected to enrol {len(people)} people, {len(failed)} of them could not be; the others are kept: enrol "
            "who is missing with livespeaker enroll NAME FILE"
        )


def _stages(encoder: "Encoder", profile: "Profile") -> "Stages":
    from model.scoring import Scorer
    from stream.recognizer import Stages

    return Stages(encoder.mfcc, encoder.stream, lambda: Scorer(profile.voices, encoder.weights))
