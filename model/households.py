"""Conversations with a reference, in folders: written by the simulator, read by `evaluate stream`.

    enrol/PERSON/*.flac     what each person is enrolled from; or enrol/PERSON.flac
    NAME.flac               a conversation (WAV, FLAC, ...)
    NAME.rttm               who speaks in it; empty where nobody does

Such a folder is a household. A folder may hold many of them, at any depth; those in one folder make a group.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import soundfile

from model.corpus import NOISE, audio_files, held_out, read_audio, read_test_corpus
from model.simulate import Conversation, Floats, SimulationConfig, condition, simulate, speakers_of, speech_free
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, OutputError
from stream.rttm import format_rttm
from stream.text import safe_text, system_reason

__all__ = ["NO_SPEECH", "noises_for", "simulate_corpus", "write_household"]

NO_SPEECH = "no-speech"
"""The group of the households in which nobody speaks."""


def noises_for(corpus: Path, noise: Path | None) -> list[Floats]:
    """Recordings of noise that the network has not learned from: a folder's, or the last tenth of CORPUS/noise.

    `pretrain` leaves that tenth out; where there is none, noise is made.

    Raises:
        FileError: a recording cannot be read, or there is none in `noise`.
    """
    folder = noise or (corpus if corpus.is_dir() else corpus.parent) / NOISE
    files = audio_files(folder) if folder.is_dir() else []
    if noise and not files:
        raise FileError(f"expected recordings of noise in {safe_text(str(noise))}, found none; leave --noise out")
    return [read_audio(file) for file in (files if noise else held_out(files))]


def simulate_corpus(
    corpus: Path,
    config: SimulationConfig,
    *,
    numbers: Sequence[int],
    quiet: Sequence[int] = (),
    noises: Sequence[Floats] = (),
    on_skip: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[Path, Conversation]]:
    """Conversations of every corpus in a corpus, each with where it belongs: CORPUS/CONDITION/NUMBER.

    Args:
        corpus: see `read_test_corpus`.
        config: what they are like.
        numbers: of the conversations.
        quiet: numbers of the recordings without speech.
        noises: see `simulate`.
        on_skip: called with a line about every corpus whose speakers have too little speech.

    Raises:
        FileError: no corpus has enough speech.
    """
    done = 0
    for name, speakers in speakers_of(read_test_corpus(corpus)).items():
        folder = Path(_folder_name(name))
        try:
            for number in numbers:
                made = simulate(name, speakers, number, config, noises)
                yield folder / condition(number, rooms=config.rooms) / f"{number:03d}", made
                done += 1
            for number in quiet:
                yield folder / NO_SPEECH / f"{number:03d}", speech_free(name, speakers, number, config, noises)
                done += 1
        except FileError as error:
            on_skip(f"{safe_text(name)} is left out: {error}")
    if not done:
        raise FileError(
            f"expected speakers with enough speech for a conversation in {safe_text(str(corpus))}, found too few; "
            "give more recordings, or smaller --people, --strangers or --enrol-seconds"
        )


def write_household(folder: Path, conversation: Conversation) -> None:
    """One conversation as a household: 16 bits, FLAC. What lies there under the same names is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    name = folder.name
    try:
        for person, clips in conversation.enrol.items():
            own = folder / "enrol" / _folder_name(person)
            own.mkdir(parents=True, exist_ok=True)
            for i, samples in enumerate(clips):
                soundfile.write(own / f"{i:02d}.flac", samples, SAMPLE_RATE, subtype="PCM_16")
        soundfile.write(folder / f"{name}.flac", conversation.samples, SAMPLE_RATE, subtype="PCM_16")
        lines = (format_rttm(turn, name) + "\n" for turn in conversation.turns)
        (folder / f"{name}.rttm").write_text("".join(lines), encoding="utf-8")
    except (OSError, soundfile.LibsndfileError) as error:
        raise OutputError(
            f"expected to write a conversation into {safe_text(str(folder))}, got: {system_reason(error)}; "
            "give --keep a folder that is yours, with room"
        ) from error


def _folder_name(name: str) -> str:
    return "".join("_" if character in '/\\:*?"<>|' or not character.isprintable() else character for character in name)
