"""A profile on disk.

    profile.json            schema, base model and people; the only file that is ever replaced
    voices/<random>.npz     one person's reference embeddings: `vectors`, (n, d) float32
    audio/<random>.flac     the sound behind references, where it is kept: 16 kHz, mono, 16 bits
    heads/<random>.npz      a fine-tuned head: the layers that follow the embedding, or a converted base model
    profile.lock            held by the one process that makes a change

A change writes its data under new names, then replaces `profile.json` in one step, then deletes what is no
longer named there. A process killed at any moment leaves the profile from before or after the change; what
it leaves lying about is deleted by the next change. The names of files say nothing of the people.
"""

import io
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from model.head import Head
from model.manifest import AUDIO_FILE, VOICE_FILE, Manifest
from model.profile_reader import ProfileReader
from model.window_head import WindowHead
from stream.clock import SAMPLE_RATE
from stream.errors import ProfileError
from stream.records import FloatArray
from stream.text import system_reason

__all__ = ["LOCK_TIMEOUT_S", "ProfileFolder", "new_id", "pack_audio", "pack_vectors"]

LOCK_TIMEOUT_S = 30.0
"""How long a change waits for that of another process."""


def new_id() -> str:
    """A name for a person or a file that nothing else has."""
    return secrets.token_hex(8)


def pack_vectors(vectors: FloatArray) -> bytes:
    """Embeddings (n, d) as a file of `voices/` holds them."""
    data = io.BytesIO()
    np.savez(data, vectors=vectors)
    return data.getvalue()


def pack_audio(samples: FloatArray) -> bytes:
    """Sound (n,), in [-1, 1] at 16 kHz, as a file of `audio/` holds it: in 16 bits, so it can lose something once."""
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return data.getvalue()


class ProfileFolder(ProfileReader):
    """The folder of a profile. It need not exist before `changing`.

    Args:
        path: the folder.
    """

    restore = "restore it from a copy, or move the folder away and enrol again"
    instead = "give another --profile"
    again = "enrol again with another --profile, or use the livespeaker that made it"

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._manifest = path / "profile.json"
        self._voices = path / "voices"
        self._audio = path / "audio"
        self._heads = path / "heads"
        self._written: list[Path] = []  # data files of the change that is being made

    def read(self) -> Manifest | None:
        """What `profile.json` says, None when there is none.

        Raises:
            ProfileError: it cannot be read, is damaged or of another schema.
        """
        try:
            return self.manifest()
        except FileNotFoundError:
            return None

    def data(self, name: str) -> bytes:
        """What `profile.json`, `voices/...` or `audio/...` holds.

        Raises:
            OSError: it cannot be read.
        """
        return (self._path / name).read_bytes()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the profile for a change: read again, write data, `commit` once.

        The folder is made if need be, and at the end everything is deleted that `profile.json` does not name.

        Raises:
            ProfileError: the folder cannot be written to, or another process does not let go of it.
        """
        try:
            # Only folders of our own making are closed to others: --profile may name one that people share.
            for folder in (self._path, self._voices, self._audio, self._heads):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self._path / "profile.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
                self._written = []
                try:
                    yield
                except BaseException:
                    # What we did not write stays: a damaged profile may be repaired with it.
                    with suppress(OSError, ProfileError):
                        self._sweep(self._written)
                    raise
                self._settle()
        except Timeout as error:
            raise ProfileError(
                f"another livespeaker has been changing the profile in {self.shown} for {LOCK_TIMEOUT_S:g} s; "
                "wait until it is done, or stop it, then try again"
            ) from error
        except OSError as error:
            raise ProfileError(
                f"cannot write to the profile in {self.shown}: {system_reason(error)}; nothing was changed; "
                "make room, or give --profile a folder that is yours"
            ) from error

    def write_vectors(self, vectors: FloatArray) -> str:
        """Write embeddings (n, d) to a new file in `voices/`; its name."""
        return self._write_new(self._voices / f"{new_id()}.npz", pack_vectors(vectors))

    def write_audio(self, samples: FloatArray) -> str:
        """Write sound (n,), in [-1, 1] at 16 kHz, to a new file in `audio/`; its name."""
        return self._write_new(self._audio / f"{new_id()}.flac", pack_audio(samples))

    def write_head(self, head: Head | WindowHead) -> str:
        """Write a head to a new file in `heads/`; its name."""
        data = io.BytesIO()
        if isinstance(head, Head):
            np.savez(data, turn=head.turn, kernel=head.kernel, bias=head.bias, threshold=head.threshold)
        else:
            opinion = np.array([head.opinion.slope, head.opinion.offset, head.opinion.most])
            np.savez(data, model=np.frombuffer(head.model, np.uint8), mel=head.mel, opinion=opinion)
        return self._write_new(self._heads / f"{new_id()}.npz", data.getvalue())

    def stamp(self) -> tuple[int, ...]:
        """What is another after every change; empty where there is no profile."""
        try:
            found = self._manifest.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ino, found.st_size

    def commit(self, manifest: Manifest) -> None:
        """Make `manifest` what the profile says, in one step. What it names must be written before."""
        for folder in (self._voices, self._audio, self._heads):
            _sync(folder)
        partial = self._path / "profile.json.new"
        _write(partial, manifest.to_json())
        os.replace(partial, self._manifest)

    def _settle(self) -> None:
        """What follows a commit. The change is made, whatever happens here."""
        try:
            _sync(self._path)
            self._sweep([*self._voices.iterdir(), *self._audio.iterdir(), *self._heads.iterdir()])
        except OSError as error:
            raise ProfileError(
                f"the change to the profile in {self.shown} is made, but old files could not be deleted: "
                f"{system_reason(error)}; the next change tries again"
            ) from error

    def _sweep(self, files: Sequence[Path]) -> None:
        # Goes by what is on the disk, never by what this process believes that it committed there.
        manifest = self.read()
        named = manifest.files() if manifest else set()
        for file in files:
            ours = VOICE_FILE.fullmatch(file.name) or AUDIO_FILE.fullmatch(file.name)
            if ours and file.name not in named:
                file.unlink(missing_ok=True)
        (self._path / "profile.json.new").unlink(missing_ok=True)

    def _write_new(self, path: Path, data: bytes) -> str:
        self._written.append(path)
        _write(path, data)
        return path.name


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, and bring it to the disk."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system has a way."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
