"""A corpus of speech: clips, who speaks in each, and where they lie.

Two layouts are read: a manifest (CSV with the columns path, corpus, speaker, split, session; paths are
relative to it, the first and the third column are enough) and a folder with one folder per speaker. A folder
within a speaker's is a session: the chapters of LibriSpeech, the videos of VoxCeleb.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.clock import SAMPLE_RATE
from stream.errors import FileError
from stream.text import safe_text, system_reason

__all__ = [
    "Clip",
    "audio_files",
    "held_out",
    "learned_from",
    "name_in",
    "noise_files",
    "people_in",
    "read_audio",
    "read_corpus",
    "read_test_corpus",
]

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"}
MIN_FOLDER_SPEAKERS = 4  # of a folder layout before two of them are kept for dev: with one there is nobody to confuse
NOISE = "noise"  # a folder of a corpus that is no speaker


@dataclass(frozen=True, slots=True)
class Clip:
    """One file of speech by one person."""

    path: Path
    corpus: str  # recordings that share a channel; embeddings are compared within one
    speaker: str  # unique over all corpora; empty when unknown
    split: str  # "train" or "dev"
    recording: str = ""  # what clips recorded together share, where that is known

    @property
    def session(self) -> str:
        """What clips recorded together share: as told, or the chapter of a LibriSpeech name, else the clip itself."""
        if self.recording:
            return self.recording
        parts = self.path.stem.split("-")
        return "-".join(parts[:2]) if self.corpus.startswith("librispeech") and len(parts) == 3 else self.path.stem

    @property
    def language(self) -> str:
        """The language of a Common Voice name, else nothing."""
        return self.path.stem.split("_")[0] if self.corpus == "common_voice" else ""


def read_corpus(path: Path, *, dev_fraction: float = 0.1) -> list[Clip]:
    """The clips of a manifest (a CSV file, or a folder that holds `manifest.csv`) or of a folder per speaker.

    Args:
        path: the manifest or the folder. A folder called `noise` in it is no speaker.
        dev_fraction: of the speakers of a folder layout, the share that goes to `dev` (the last ones by name),
            at least two when there are four.

    Raises:
        FileError: nothing usable is there.
    """
    clips = _read(path, dev_fraction)
    _need_two([clip for clip in clips if clip.split == "train"], "training speakers", path)
    return clips


def read_test_corpus(path: Path) -> list[Clip]:
    """The clips to test on: those of a manifest that are `dev`, all of a manifest without splits or of a folder.

    Args:
        path: as `read_corpus` takes it.

    Raises:
        FileError: nothing usable is there, or fewer than two speakers.
    """
    clips = _read(path, 0.0)
    tested = [clip for clip in clips if clip.split == "dev"] or clips
    _need_two(tested, "speakers", path)
    return tested


def _need_two(clips: list[Clip], what: str, corpus: Path) -> None:
    if len({clip.speaker for clip in clips} - {""}) < 2:
        raise FileError(
            f"expected at least two {what} in {corpus}, found fewer; "
            "give a folder with one folder of audio files per speaker"
        )


def _read(path: Path, dev_fraction: float) -> list[Clip]:
    manifest = path / "manifest.csv" if path.is_dir() else path
    try:
        if manifest.is_file():
            clips = list(_read_manifest(manifest))
        elif path.is_dir():
            clips = list(_read_folders(path, dev_fraction))
        else:
            raise FileError(f"expected a corpus at {path}, found nothing; give a folder per speaker or a manifest.csv")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"expected to read a corpus at {path}, got: {system_reason(error)}; mend it or give another"
        ) from error
    return _once(clips, path)


def _once(clips: list[Clip], corpus: Path) -> list[Clip]:
    # A line that stands twice counts once; what two lines disagree about is nobody's guess.
    known: dict[Path, Clip] = {}
    for clip in clips:
        if known.setdefault(clip.path, clip) != clip:
            raise FileError(
                f"expected one speaker and split for {clip.path.name} in {corpus}, found two; remove one of its lines"
            )
    return list(known.values())


def _read_manifest(manifest: Path) -> Iterator[Clip]:
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = {"path", "speaker"} - set(rows.fieldnames or ())
        if missing:
            raise FileError(
                f"expected the columns path and speaker in {manifest}, missing {', '.join(sorted(missing))}; "
                "add them to its first line"
            )
        for row in rows:
            if not row["path"] or row["speaker"] is None:
                raise FileError(
                    f"expected a path and a speaker in line {rows.line_num} of {manifest}, found fewer cells; "
                    "complete or remove that line"
                )
            yield Clip(
                manifest.parent / row["path"],
                row.get("corpus") or "corpus",
                row["speaker"],
                row.get("split") or "train",
                row.get("session") or "",
            )


def _read_folders(folder: Path, dev_fraction: float) -> Iterator[Clip]:
    speakers = sorted(child for child in folder.iterdir() if child.is_dir() and child.name != NOISE)
    n_dev = max(2, round(dev_fraction * len(speakers))) if dev_fraction and len(speakers) >= MIN_FOLDER_SPEAKERS else 0
    for i, speaker in enumerate(speakers):
        split = "dev" if i >= len(speakers) - n_dev else "train"
        for file in audio_files(speaker):
            session = file.parent.relative_to(speaker).as_posix()
            yield Clip(file, folder.name, speaker.name, split, "" if session == "." else session)


def name_in(folder: Path, file: Path) -> str:
    """What a file is called in a folder that may be moved: its path from there, or the whole one if it lies outside."""
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def audio_files(folder: Path) -> list[Path]:
    """Every file in a folder, and in those within it, that is called like audio; sorted."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)


def noise_files(corpus: Path, folder: Path | None = None) -> list[Path]:
    """The recordings of noise in a folder: `noise` in the corpus unless told; none where there is no folder."""
    folder = folder or (corpus if corpus.is_dir() else corpus.parent) / NOISE
    return audio_files(folder) if folder.is_dir() else []


def held_out(noises: list[Path]) -> list[Path]:
    """The recordings of noise that `pretrain` does not learn from, for measuring: the last tenth."""
    return noises[len(noises) - len(noises) // 10 :]


def learned_from(noises: list[Path]) -> list[Path]:
    """The others."""
    return noises[: len(noises) - len(held_out(noises))]


def people_in(folder: Path) -> dict[str, list[Path]]:
    """The recordings in a folder per person: by the name of each folder, sorted; hidden folders are nobody's.

    Args:
        folder: holds the folders.

    Raises:
        FileError: it cannot be read, or there is no folder in it.
    """
    try:
        folders = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError as error:
        raise FileError(
            f"expected a folder per person in {safe_text(str(folder))}, got: {system_reason(error)}; give another"
        ) from error
    if not folders:
        raise FileError(
            f"expected a folder per person in {safe_text(str(folder))}, found none; "
            "put the recordings of each into a folder of that name"
        )
    return {child.name: audio_files(child) for child in folders}


def read_audio(path: Path) -> NDArray[np.float32]:
    """A whole clip: (n,) float32 mono at 16 kHz, full scale [-1, 1].

    Raises:
        FileError: the file cannot be read, is empty or holds what is no number.
    """
    import soundfile
    import soxr

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        # The message of the second kind names the file once more.
        reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else system_reason(error)
        raise FileError(
            f"expected audio in {path}, got: {reason.rstrip('.').lower()}; remove the file or convert it to WAV"
        ) from error
    mono: NDArray[np.float32] = samples.mean(axis=1)
    if not len(mono) or not np.isfinite(mono).all():
        # One such sample would make every weight of the network no number.
        raise FileError(f"expected audio in {path}, got {'invalid' if len(mono) else 'no'} samples; remove the file")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE).astype(np.float32)
    return mono
