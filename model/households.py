"""Conversations with a reference, in folders: written by the simulator, read by `evaluate stream`.

    enrol/PERSON/*.flac     what each person is enrolled from; or enrol/PERSON.flac
    NAME.flac               a conversation (WAV, FLAC, ...)
    NAME.rttm               who speaks in it; empty where nobody does

Such a folder is a household. A folder may hold many of them, at any depth; those in one folder make a group.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from model.corpus import audio_files, held_out, noise_files, read_audio, read_test_corpus
from model.simulate import Conversation, Floats, SimulationConfig, condition, simulate, speakers_of, speech_free
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, OutputError
from stream.rttm import format_rttm
from stream.text import safe_text, system_reason

__all__ = ["ENROL", "NO_SPEECH", "Household", "read_households", "simulate_corpus", "write_household"]

ENROL = "enrol"
"""The folder that makes another one a household."""

NO_SPEECH = "no-speech"
"""The group of the households in which nobody speaks."""


@dataclass(frozen=True, slots=True)
class Household:
    """People who are known, and conversations that they take part in."""

    folder: Path
    group: str  # the folder that it lies in, seen from the one that was given; "" if that one is it
    people: Mapping[str, list[Path]]  # what each is enrolled from, by name
    conversations: list[tuple[Path, Path]]  # sound and its RTTM


def read_households(folder: Path) -> list[Household]:
    """The households in a folder, at any depth, in the order of their paths.

    Raises:
        FileError: there is none, or one lacks people, conversations or a reference.
    """
    try:
        found = sorted(child.parent for child in folder.rglob(ENROL) if child.is_dir() and child.parent.name != ENROL)
    except OSError as error:
        raise FileError(f"cannot read {safe_text(str(folder))}: {system_reason(error)}; give another folder") from error
    if not found:
        raise FileError(
            f"expected a folder {ENROL} with recordings of each person in {safe_text(str(folder))}, found none; "
            f"put them into {ENROL}/NAME/, and conversations with their RTTM beside it"
        )
    return [_read_household(one, folder) for one in found]


def _read_household(folder: Path, given: Path) -> Household:
    enrol, shown = folder / ENROL, safe_text(str(folder))
    people: dict[str, list[Path]] = {}
    for file in audio_files(enrol):
        people.setdefault(file.stem if file.parent == enrol else file.relative_to(enrol).parts[0], []).append(file)
    if not people:
        raise FileError(f"expected recordings of people in {shown}/{ENROL}, found none; add {ENROL}/NAME.wav")
    talks = [(file, file.with_suffix(".rttm")) for file in audio_files(folder) if file.parent == folder]
    if not talks:
        raise FileError(f"expected a conversation beside {shown}/{ENROL}, found none; add NAME.wav and NAME.rttm")
    for sound, reference in talks:
        if not reference.is_file():
            raise FileError(
                f"expected {safe_text(reference.name)} beside {safe_text(str(sound))}, to say who speaks in it, found "
                "no such file; write it, empty if nobody speaks"
            )
    group = folder.parent.relative_to(given).as_posix() if folder != given else ""
    return Household(folder, "" if group == "." else group, people, talks)


def simulate_corpus(
    corpus: Path,
    config: SimulationConfig,
    into: Path,
    *,
    numbers: Sequence[int],
    quiet: Sequence[int] = (),
    noise: Path | None = None,
    on_skip: Callable[[str], None] = lambda _: None,
) -> Iterator[Household]:
    """Make conversations of every corpus in a corpus, one household each: CORPUS/CONDITION/NUMBER.

    Args:
        corpus: see `read_test_corpus`.
        config: what they are like.
        into: the folder that they are written into.
        numbers: of the conversations.
        quiet: numbers of the recordings without speech.
        noise: recordings of noise; those that `pretrain` left out, the last tenth of CORPUS/noise, unless told, and
            made sounds where there are none.
        on_skip: called with a line about every corpus whose speakers have too little speech.

    Yields:
        Every household as soon as it is written.

    Raises:
        FileError: no corpus has enough speech, or a recording cannot be read.
        OutputError: a household cannot be written.
    """
    noises = _noises(corpus, noise)
    done = 0
    for name, speakers in speakers_of(read_test_corpus(corpus)).items():
        plan = [(simulate, condition(number, rooms=config.rooms), number) for number in numbers]
        plan += [(speech_free, NO_SPEECH, number) for number in quiet]
        for make, group, number in plan:
            try:
                made = make(name, speakers, number, config, noises)
            except FileError as error:
                on_skip(f"{safe_text(name)} is left out: {error}")
                break
            folder = into / _folder_name(name) / group / f"{number:03d}"
            write_household(folder, made)
            yield _read_household(folder, into)
            done += 1
    if not done:
        raise FileError(
            f"expected speakers with enough speech for a conversation in {safe_text(str(corpus))}, found too few; "
            "give more recordings, or smaller --people, --strangers or --enrol-seconds"
        )


def _noises(corpus: Path, noise: Path | None) -> list[Floats]:
    files = noise_files(corpus, noise)
    if noise and not files:
        raise FileError(f"expected recordings of noise in {safe_text(str(noise))}, found none; leave --noise out")
    return [read_audio(file) for file in (files if noise else held_out(files))]


def write_household(folder: Path, conversation: Conversation) -> None:
    """One conversation as a household: 16 bits, FLAC. What lies there under the same names is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    name = folder.name
    try:
        for person, clips in conversation.enrol.items():
            own = folder / ENROL / _folder_name(person)
            own.mkdir(parents=True, exist_ok=True)
            for i, samples in enumerate(clips):
                soundfile.write(own / f"{i:02d}.flac", samples, SAMPLE_RATE, subtype="PCM_16")
        soundfile.write(folder / f"{name}.flac", conversation.samples, SAMPLE_RATE, subtype="PCM_16")
        turns = (replace(turn, name=_folder_name(turn.name)) for turn in conversation.turns)
        lines = (format_rttm(turn, name) + "\n" for turn in turns)
        (folder / f"{name}.rttm").write_text("".join(lines), encoding="utf-8")
    except (OSError, soundfile.LibsndfileError) as error:
        raise OutputError(
            f"expected to write a conversation into {safe_text(str(folder))}, got: {system_reason(error)}; "
            "give --keep a folder that is yours, with room"
        ) from error


def _folder_name(name: str) -> str:
    return "".join("_" if character in '/\\:*?"<>|' or not character.isprintable() else character for character in name)
