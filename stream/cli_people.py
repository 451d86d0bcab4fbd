"""The commands about people: enrol, fine-tune, look after."""

import json
import sys
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_completion import people
from stream.cli_shared import (
    DeviceOption,
    ForceOption,
    KeepAudioOption,
    KnownName,
    ProfileOption,
    check_results,
    check_writable,
    device_of,
    is_hushed,
    look_after,
    open_profile,
    say,
)
from stream.errors import AudioError, EnrolmentError, FileError, UsageError
from stream.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from model.base_tune import BaseTuned
    from model.encoder import Encoder
    from model.enrol import Enrolment
    from model.profile import Profile
    from stream.session import Source

__all__ = ["enrol", "enroll", "export", "fine_tune", "keep", "speakers"]


def enroll(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Who it is: any text.", autocompletion=people)
    ] = None,
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE ...]", help="Recordings of this person.")] = None,
    mic: Annotated[bool, typer.Option("--mic", help="From the microphone; Ctrl-C keeps what was heard.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Everybody who has a folder of recordings in it, by its name."),
    ] = None,
    device: DeviceOption = None,
    keep_audio: KeepAudioOption = True,
    force: ForceOption = False,
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
        _enrol_folder(folder, profile, keep_audio=keep_audio, force=force)
        return
    if name is None:
        raise typer.BadParameter("expected a NAME or --folder, got neither")
    name = check_name(name)
    if not files and not mic:
        raise UsageError("expected recordings or --mic, got neither; try: livespeaker enroll NAME FILE, or --mic")
    encoder, known = open_profile(profile)
    check_writable(profile)
    sources = [open_source(file, None) for file in files or ()]
    microphone = None
    if mic:
        from stream.microphone import Microphone

        microphone = Microphone(device_of(device))
    for line in enrol(encoder, known, name, sources, keep_audio=keep_audio, force=force, mic=microphone):
        say(line)


def fine_tune(
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the head before.")] = False,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Who was taken for whom, before and after, as PNG.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", metavar="FILE", help="Learn on a Keras classifier of your own: .keras or .h5, over MFCC."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    profile: ProfileOption = None,
) -> None:
    """Learn to tell the known people apart, from their kept speech; taken only when nobody gets worse."""
    if rollback:
        version = look_after(profile).roll_back()
        say(f"Head {version} is in use again." if version else "No head is in use: people are told apart as enrolled.")
        return
    from model.fine_tune import FineTuned
    from model.fine_tune import fine_tune as run
    from stream.quiet import quiet_libraries
    from stream.training_screen import TrainingScreen

    check_results(None, plots)
    encoder, known = open_profile(profile)
    recordings = known.recordings()
    names = {voice.id: voice.name for voice in known.voices}
    if silent := [names[who] for who, sound in recordings.items() if not sound]:
        raise EnrolmentError(
            f"expected kept speech of everybody to learn from, got none of {', '.join(silent)}; "
            "enrol them again without --no-audio"
        )
    found: BaseTuned | FineTuned
    if base:
        from model.base import load_base
        from model.base_tune import tune_base

        loaded = load_base(base)
        with TrainingScreen() as screen:
            found = tune_base(recordings, loaded, encoder, seed=seed, on_done=screen.progress)
        say("Strangers are stand-ins here: the known people's voices, slower and faster.")
    else:
        with quiet_libraries(), TrainingScreen() as screen:  # TensorFlow is imported while the bars go on
            found = run(recordings, encoder, seed=seed, on_done=screen.progress)
    from rich.console import Console

    from model.report import confusion_table, outcomes_table

    people = [names[who] for who in found.head.people]
    console = Console(markup=False, highlight=False)
    console.print(outcomes_table(people, found.before, found.after))
    matrices = {"before fine-tuning": found.before.confusion, "after": found.after.confusion}
    console.print(confusion_table(people, *matrices.values()))
    if plots:
        from model.pictures import draw_confusion

        draw_confusion(people, matrices, plots / "confusion.png")
        say(f"Drawn: {plots / 'confusion.png'}")
    if found.better:
        version = known.take_head(found.head)
        say(f"Head {version} is in use: the {found.layers}, epochs: {found.epochs}. --rollback takes it back.")
    elif found.worse:
        worse = ", ".join(people[i] for i in found.worse)
        say(
            f"Nothing was changed: with the new head, {worse} would be recognised less often ({found.figures}). "
            "Enrol more of them."
        )
    else:
        say(f"Nothing was changed: the new head is no better than none ({found.figures}).")


def export(
    out: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="NAME.keras, NAME.tflite, or a folder (SavedModel).")],
    profile: ProfileOption = None,
) -> None:
    """The network and the fine-tuned head as one model, for other programs; FILE.json says who is who."""
    from model.export import export as write
    from model.window_head import WindowHead

    encoder, known = open_profile(profile)
    if isinstance(known.head, WindowHead):
        raise EnrolmentError(
            "expected a head on the shipped network, got one on a base model of your own; "
            "run livespeaker fine-tune without --base first"
        )
    if known.head is None:
        raise EnrolmentError("expected a fine-tuned head in the profile, got none; run livespeaker fine-tune first")
    names = {voice.id: voice.name for voice in known.voices}
    (samples, *_) = chain.from_iterable(known.recordings().values())  # a head comes from kept speech
    difference = write(encoder, known.head, names, samples, out)
    say(f"{out} says the same as the network, to {difference:.0e} of a probability.")


speakers = typer.Typer(help="Look after the known people.", invoke_without_command=True)


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
def rename(context: typer.Context, old: KnownName, new: str, profile: ProfileOption = None) -> None:
    """Give a person another name."""
    voice = look_after(profile or context.obj).rename(old, new)
    say(f"{safe_text(old)} is now {voice.name}.")


@speakers.command()
def remove(context: typer.Context, name: KnownName, profile: ProfileOption = None) -> None:
    """Forget a person: the voice and the recordings are deleted."""
    look_after(profile or context.obj).remove(name)
    say(f"{safe_text(name)} is forgotten.")


@speakers.command()
def merge(context: typer.Context, into: KnownName, other: KnownName, profile: ProfileOption = None) -> None:
    """Two names were one person: OTHER's voice goes to INTO."""
    voice = look_after(profile or context.obj).merge(into, other)
    say(f"{safe_text(other)} is now part of {voice.name}.")


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
    say(f"{who}: {what} are in {safe_text(str(file))}. Whoever has the file has them.")


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
        encoder, known = open_profile(profile or context.obj)
        for voice in known.take_in(found, encoder.size, merge=merge):
            say(f"{voice.name}: {voice.speech_s.sum():.0f} s of speech in {len(voice.vectors)} references.")


def _list(folder: Path | None, *, json_output: bool = False) -> None:
    from model.voices import quality

    voices = look_after(folder).voices
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
        say("Nobody is enrolled yet. Begin with: livespeaker enroll NAME --mic")
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


def enrol(
    encoder: "Encoder",
    profile: "Profile",
    name: str,
    sources: "Iterable[Source]",
    *,
    keep_audio: bool = True,
    force: bool = False,
    mic: "Source | None" = None,
) -> list[str]:
    """Hear every source, the microphone last, then change the profile once; lines about what came of it.

    Raises:
        EnrolmentError: the speech makes no voice, or, without `force`, not that of whoever has the name.
    """
    from model.coach import ENOUGH_SPEECH_S
    from model.enrol import Enrolment
    from stream.enrol_screen import EnrolScreen
    from stream.quiet import quiet_libraries
    from stream.records import Block
    from stream.session import stopped_by_signals

    enrolment = Enrolment(encoder)
    for source in chain(sources, [mic] if mic else []):
        if source is mic:
            say(f"Speak now: read anything aloud, for {ENOUGH_SPEECH_S:.0f} s or so. Ctrl-C keeps what was heard.")
        with (
            quiet_libraries(),
            source,
            EnrolScreen(name, source.name, quiet=is_hushed()) as screen,
            ExitStack() as stack,
        ):
            if source is mic:
                stack.enter_context(stopped_by_signals(source))
            sound = (heard for heard in source.blocks() if isinstance(heard, Block))
            for progress in enrolment.listen(sound, source.rate):
                screen.show(progress)
                if source is mic and progress.percent == 100:
                    source.stop()
        if warning := getattr(source, "warning", None):
            raise FileError(f"nobody was enrolled, because {warning}; get it again whole")
        if enrolment.full:
            break
    early = mic is not None and enrolment.progress.percent < 100 and not enrolment.full
    return keep(encoder, profile, name, enrolment, keep_audio=keep_audio, force=force, early=early)


def keep(
    encoder: "Encoder",
    profile: "Profile",
    name: str,
    enrolment: "Enrolment",
    *,
    keep_audio: bool = True,
    force: bool = False,
    early: bool = False,
) -> list[str]:
    """Put what an enrolment has heard into the profile; lines about what came of it.

    Raises:
        EnrolmentError: see `enrol`.
    """
    from model.alike import alike, is_unlike

    found = enrolment.finish()
    heard = found.progress
    before = profile.find(name)
    unlike = before is not None and is_unlike(before, found.vectors, found.speech_s, encoder.weights)
    if before and unlike and not force:
        raise EnrolmentError(
            f"expected more of {before.name}'s voice, heard one that does not sound like the {before.name} who was "
            f"enrolled before; nothing is kept; give somebody else another NAME, or --force if it is {before.name}"
        )
    voice = profile.add(name, found.vectors, found.speech_s, found.audio if keep_audio else ())
    lines = [f"{voice.name}: {voice.speech_s.sum():.0f} s of speech in {len(voice.vectors)} references."]
    if unlike:
        lines.append(f"Kept, though it does not sound like the {voice.name} who was enrolled before.")
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


def _enrol_folder(folder: Path, profile: Path | None, *, keep_audio: bool, force: bool) -> None:
    """Enrol everybody who has a folder of recordings; who cannot be enrolled is told at the end."""
    from model.corpus import people_in
    from model.profile import check_name
    from stream.replay import open_source

    people = people_in(folder)
    encoder, known = open_profile(profile)
    check_writable(profile)
    failed = []
    for name, files in people.items():
        try:
            checked = check_name(name)
            if not files:
                raise FileError("expected recordings in the folder, found none; put WAV, FLAC, Opus or MP3 files there")
            sources = (open_source(file, None) for file in files)  # one open at a time: there may be thousands
            for line in enrol(encoder, known, checked, sources, keep_audio=keep_audio, force=force):
                say(line)
        except (AudioError, EnrolmentError, UsageError) as error:
            failed.append(f"{safe_text(name)} was not enrolled: {error}")
    for line in failed:
        say(line)
    if failed:
        raise EnrolmentError(
            f"expected to enrol {len(people)} people, {len(failed)} of them could not be; the others are kept: enrol "
            "who is missing with livespeaker enroll NAME FILE"
        )
