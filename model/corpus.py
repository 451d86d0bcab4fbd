"""A corpus of speech: clips, who speaks in each, and where they lie.

Two layouts are read: a manifest (CSV with the columns path, corpus, speaker, split, seconds; paths are
relative to it) and a folder with one folder per speaker.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.clock import SAMPLE_RATE
from stream.errors import FileError

__all__ = ["Clip", "read_audio", "read_corpus"]

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"}


@dataclass(frozen=True, slots=True)
class Clip:
    """One file of speech by one person."""

    path: Path
    corpus: str  # recordings that share a channel; embeddings are compared within one
    speaker: str  # unique over all corpora; empty when unknown
    split: str  # "train" or "dev"

    @property
    def session(self) -> str:
        """What clips recorded together share: the chapter of a LibriSpeech name, else the clip itself."""
        parts = self.path.stem.split("-")
        return "-".join(parts[:2]) if self.corpus.startswith("librispeech") and len(parts) == 3 else self.path.stem

    @property
    def language(self) -> str:
        """The language of a Common Voice name, else nothing."""
        return self.path.stem.split("_")[0] if self.corpus == "common_voice" else ""


def read_corpus(path: Path, *, dev_fraction: float = 0.1) -> list[Clip]:
    """The clips of a manifest (a CSV file, or a folder that holds `manifest.csv`) or of a folder per speaker.

    Args:
        path: the manifest or the folder.
        dev_fraction: of the speakers of a folder layout, the share that goes to `dev` (the last ones by name).

    Raises:
        FileError: nothing usable is there.
    """
    manifest = path / "manifest.csv" if path.is_dir() else path
    if manifest.is_file():
        clips = list(_read_manifest(manifest))
    elif path.is_dir():
        clips = list(_read_folders(path, dev_fraction))
    else:
        raise FileError(f"expected a corpus at {path}, found nothing; give a folder per speaker or a manifest.csv")
    if len({clip.speaker for clip in clips if clip.split == "train"} - {""}) < 2:
        raise FileError(
            f"expected at least two training speakers in {path}, found fewer; "
            "give a folder with one folder of audio files per speaker"
        )
    return clips


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
            yield Clip(
                manifest.parent / row["path"],
                row.get("corpus") or "corpus",
                row["speaker"],
                row.get("split") or "train",
            )


def _read_folders(folder: Path, dev_fraction: float) -> Iterator[Clip]:
    speakers = sorted(child for child in folder.iterdir() if child.is_dir())
    n_dev = round(dev_fraction * len(speakers))
    for i, speaker in enumerate(speakers):
        split = "dev" if i >= len(speakers) - n_dev else "train"
        for file in sorted(speaker.rglob("*")):
            if file.suffix.lower() in AUDIO_SUFFIXES:
                yield Clip(file, folder.name, speaker.name, split)


def read_audio(path: Path) -> NDArray[np.float32]:
    """A whole clip: (n,) float32 mono at 16 kHz, full scale [-1, 1].

    Raises:
        FileError: the file cannot be read.
    """
    import soundfile
    import soxr

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise FileError(f"expected audio in {path}, got: {error}; remove the file or convert it to WAV") from error
    mono = samples.mean(axis=1)
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE).astype(np.float32)
