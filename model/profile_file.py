"""A profile as one file, to carry it to another machine.

    profile.json            as in the folder of a profile: see model/manifest.py
    voices/<random>.npz     one person's reference embeddings
    audio/<random>.flac     the sound behind references, unless it was left out

in a zip archive, nothing in it compressed again. Whoever imports a file may have got it from anybody: what it
unpacks to is bounded, it holds what its `profile.json` names and nothing else, every value is checked as in a
folder, and nothing is written by a name that stands in it.
"""

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from model.archive import DAMAGED, open_archive, read_member
from model.manifest import Manifest
from model.profile_folder import ProfileFolder, pack_audio, pack_vectors
from model.profile_reader import MAX_VOICE_BYTES, ProfileReader
from model.voices import MAX_REFERENCES
from stream.clock import SAMPLE_RATE
from stream.errors import ProfileError, UsageError
from stream.text import safe_text, system_reason

__all__ = ["ProfileFile", "write_profile_file"]

MAX_PEOPLE = 1000
"""In a file. More than a machine can tell apart in a room, and it bounds the directory of the archive."""

MAX_MANIFEST_BYTES = 4 << 20
"""A thousand people with ten references each take 1.2 MB; JSON grows about twentyfold when it is read."""

MAX_AUDIO_S = 120
"""Of one recording. An enrolment keeps 30 s of speech, which is at most 60 s of sound."""

MAX_AUDIO_BYTES = 4 << 20
"""Of one recording: `MAX_AUDIO_S` at 32 kB/s, should nothing of it be compressible."""

MAX_FILE_BYTES = 1 << 30
"""Of a file, packed and unpacked: a thousand people with 30 s of speech each, at 32 kB/s."""

_MAX_MEMBERS = 1 + MAX_PEOPLE * (1 + MAX_REFERENCES)
_MAX_BYTES = {"profile.json": MAX_MANIFEST_BYTES, "voices": MAX_VOICE_BYTES, "audio": MAX_AUDIO_BYTES}


class ProfileFile(ProfileReader):
    """A file that `write_profile_file` wrote, or that somebody says it did. Use it as a context manager.

    Args:
        path: the file.

    Raises:
        ProfileError: there is none, or it is no archive of a profile. The methods raise this as well.
    """

    restore = "get the file again, or export it again"
    instead = "give another file"
    again = "export it with its sound from the livespeaker that made it, or enrol these people here"
    most_samples = MAX_AUDIO_S * SAMPLE_RATE

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        try:
            if path.exists() and not path.is_file():  # opening a pipe would wait
                raise OSError("it is not a plain file")
            self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise ProfileError(
                f"wanted a file that `livespeaker speakers export` wrote, got {self.shown}: {system_reason(error)}; "
                + self.instead
            ) from error
        try:
            self._archive = open_archive(self._file, most_members=_MAX_MEMBERS, most_bytes=MAX_FILE_BYTES)
        except DAMAGED as error:
            self._file.close()
            raise self.damaged("the archive", error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def data(self, name: str) -> bytes:
        """What `profile.json`, `voices/...` or `audio/...` holds.

        Raises:
            Exception: one of `DAMAGED`: it is not there, too large or damaged.
        """
        return read_member(self._archive, name, _MAX_BYTES[name.partition("/")[0]])

    def manifest(self) -> Manifest:
        """What `profile.json` says: at least one person, and exactly the files that are there.

        Raises:
            ProfileError: it is damaged, of another schema, or says something else.
        """
        manifest = super().manifest()
        people = manifest.people
        try:
            if not 0 < len(people) <= MAX_PEOPLE:
                raise ValueError(f"wanted 1 to {MAX_PEOPLE} people, got {len(people)}")
            if any(len(person.references) > MAX_REFERENCES for person in people):
                raise ValueError(f"wanted at most {MAX_REFERENCES} references of a person, got more")
            if sum(1 + len(person.audio()) for person in people) > len(manifest.files()):
                raise ValueError("wanted every file to belong to one person, got one of two people")
            named = {"profile.json", *(f"voices/{person.voice}" for person in people)}
            named |= {f"audio/{file}" for person in people for file in person.audio()}
            if manifest.heads:
                raise ValueError("wanted no heads, got some")
            if others := named ^ set(self._archive.namelist()):
                raise ValueError(f"wanted exactly the files that it names in the archive, got otherwise: {min(others)}")
        except ValueError as error:
            raise self.damaged("profile.json", error) from error
        return manifest


def write_profile_file(folder: ProfileFolder, path: Path, *, audio: bool = True, force: bool = False) -> Manifest:
    """Write a profile as one file that only its owner can read; it has its name once it is whole.

    Args:
        folder: the profile. One profile always makes the same bytes.
        path: the file; `.livespeaker` is its usual suffix.
        audio: whether sound that is kept goes with it.
        force: whether a file that is there may be replaced.

    Returns:
        What is in it.

    Raises:
        UsageError: there is such a file.
        ProfileError: the profile is empty, damaged, or too large for a file; the file cannot be written. Then
            nothing is left of it.
    """
    if os.path.lexists(path) and not force:
        raise UsageError(
            f"wanted a new file, got {safe_text(str(path))}, which is there already; give another name, or --force"
        )
    while True:
        manifest = folder.read()
        if manifest is None or not manifest.people:
            raise ProfileError(f"nobody is in the profile in {folder.shown}; enrol somebody first")
        written = replace(manifest if audio else _without_audio(manifest), heads=())  # soon learned again
        try:
            _write_new(path, _members(folder, written))
        except ProfileError:
            # Another process may have changed the profile, and deleted files, while it was read.
            if folder.read() == manifest:
                raise
        else:
            return written


def _without_audio(manifest: Manifest) -> Manifest:
    people = (
        replace(person, references=tuple(replace(reference, audio=None) for reference in person.references))
        for person in manifest.people
    )
    return replace(manifest, people=tuple(people))


def _members(folder: ProfileFolder, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    """The names in the archive and what each holds: packed again, so that it is what was checked."""
    _check_size("people", len(manifest.people), MAX_PEOPLE)
    yield "profile.json", manifest.to_json()
    for person in manifest.people:
        yield f"voices/{person.voice}", pack_vectors(folder.read_vectors(person))
    for file in sorted(set().union(*(person.audio() for person in manifest.people))):
        samples = folder.read_audio(file)
        _check_size("samples of a recording", len(samples), ProfileFile.most_samples)
        yield f"audio/{file}", pack_audio(samples)


def _check_size(what: str, size: int, most: int) -> None:
    if size > most:
        raise ProfileError(f"wanted at most {most} {what} for a file, got {size}; leave the sound out with --no-audio")


def _write_new(path: Path, members: Iterator[tuple[str, bytes]]) -> None:
    partial = None
    try:
        handle, partial = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)  # of mode 0600
        with open(handle, "wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for name, data in members:
                    _check_size(f"bytes of {name}", len(data), _MAX_BYTES[name.partition("/")[0]])
                    _check_size("bytes", file.tell() + len(data), MAX_FILE_BYTES - (_MAX_MEMBERS << 8))
                    archive.writestr(zipfile.ZipInfo(name), data)  # of no time: it is nobody's business
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise ProfileError(
            f"cannot write to {safe_text(str(path))}: {system_reason(error)}; nothing was changed; "
            "make room, or give a path in a folder that is yours"
        ) from error
    finally:
        if partial is not None:
            with suppress(OSError):
                os.unlink(partial)
