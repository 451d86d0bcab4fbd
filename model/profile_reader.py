"""Reading a profile, wherever it is: in its folder, or in one file. All that is read is checked."""

import io
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from model.archive import DAMAGED, open_archive, read_member
from model.head import Head
from model.manifest import SCHEMA, HeadEntry, Manifest, Person, Reference, SchemaError, parse_manifest
from model.voices import BaseModel, check_references
from model.window_head import Opinion, WindowHead
from stream.clock import SAMPLE_RATE
from stream.errors import ProfileError
from stream.records import FloatArray
from stream.text import one_line, safe_text, system_reason

__all__ = ["Embed", "Known", "ProfileReader", "listed"]

Embed = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Reference embeddings of sound: (n,) in [-1, 1] at 16 kHz -> vectors (m, d) of unit length and seconds (m,)."""

MAX_VOICE_BYTES = 1 << 20
"""Of one person's embeddings, packed and unpacked: ten of 192 values in 32 bits are 8 kB; larger networks may come."""

MAX_HEAD_BYTES = 16 << 20
"""Of a head, packed and unpacked: one for a thousand people has 1 MB; larger networks may come."""

MAX_WINDOW_HEAD_BYTES = 64 << 20
"""Of a converted base model with its filter bank: a base model has at most 32 MiB, and an unrolled one grows."""

_NAMES_IN_A_MESSAGE = 20


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """A person and their embeddings."""

    person: Person
    vectors: FloatArray  # (n, d) unit length, a row for each of the person's references


class ProfileReader(ABC):
    """A profile that can be read.

    Args:
        where: its folder or file, as messages name it.
    """

    restore: ClassVar[str]
    """What to do when it is damaged."""
    instead: ClassVar[str]
    """What to give in its place."""
    again: ClassVar[str]
    """How people get known whose voices another base model made."""
    most_samples: ClassVar[int] = -1
    """Of a recording; -1 is any number."""

    def __init__(self, where: str) -> None:
        self.shown = safe_text(where)

    @abstractmethod
    def data(self, name: str) -> bytes:
        """What `profile.json`, `voices/...` or `audio/...` holds.

        Raises:
            Exception: one of `DAMAGED`: it cannot be read.
        """

    def manifest(self) -> Manifest:
        """What `profile.json` says.

        Raises:
            ProfileError: it cannot be read, is damaged or of another schema.
            FileNotFoundError: there is none.
        """
        try:
            return parse_manifest(self.data("profile.json"))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ProfileError(
                f"cannot read the profile in {self.shown}: {system_reason(error)}; {self.instead}"
            ) from error
        except SchemaError as error:
            (schema,) = error.args
            newer = schema > SCHEMA
            made, so = ("by a newer livespeaker", "update livespeaker, or ") if newer else ("by something else", "")
            raise ProfileError(
                f"the profile in {self.shown} was made {made}: wanted schema {SCHEMA}, got {str(schema)[:20]}; "
                f"{so + self.instead if newer else self.restore}"
            ) from error
        except DAMAGED as error:
            raise self.damaged("profile.json", error) from error

    def read_vectors(self, person: Person) -> FloatArray:
        """A person's reference embeddings, (n, d), unit length.

        Raises:
            ProfileError: the file is missing or damaged.
        """
        try:
            packed = io.BytesIO(self.data(f"voices/{person.voice}"))
            archive = open_archive(packed, most_members=1, most_bytes=MAX_VOICE_BYTES)
            data = io.BytesIO(read_member(archive, "vectors.npy", MAX_VOICE_BYTES))
            with warnings.catch_warnings(action="ignore"):  # about headers as nobody writes them any more
                stored = np.lib.format.read_array(data, allow_pickle=False)
            if stored.dtype != np.float32:
                raise ValueError(f"wanted float32, got {stored.dtype}")
            vectors, _ = check_references(stored, [reference.speech_s for reference in person.references])
        except DAMAGED as error:
            raise self.damaged(f"voices/{person.voice} of {person.name}", error) from error
        return vectors

    def read_audio(self, name: str) -> FloatArray:
        """Kept sound: (n,) in [-1, 1] at 16 kHz.

        Raises:
            ProfileError: the file is missing or damaged.
        """
        import soundfile

        try:
            data = self.data(f"audio/{name}")
            if not data.startswith(b"fLaC"):
                raise ValueError("wanted FLAC, got something else")
            most = self.most_samples  # FLAC packs silence by a factor of thousands
            frames = most + 1 if most >= 0 else -1
            samples, rate = soundfile.read(io.BytesIO(data), frames=frames, dtype="float32")
            if rate != SAMPLE_RATE or samples.ndim != 1 or not len(samples):
                raise ValueError(f"wanted mono sound at {SAMPLE_RATE} Hz, got {samples.shape} at {rate} Hz")
            if 0 <= most < len(samples):
                raise ValueError(f"wanted at most {most / SAMPLE_RATE:g} s of sound, got more")
        except DAMAGED as error:
            raise self.damaged(f"audio/{name}", error) from error
        return np.asarray(samples, np.float32)

    def read_head(self, entry: HeadEntry) -> Head | WindowHead:
        """A fine-tuned head, of its kind.

        Raises:
            ProfileError: the file is missing or damaged.
        """
        try:
            data = self.data(f"heads/{entry.file}")
            if entry.kind == "layers":
                names = "turn", "kernel", "bias", "threshold"
                turn, kernel, bias, threshold = (a.astype(np.float32) for a in _arrays(data, MAX_HEAD_BYTES, *names))
                return Head(entry.people, turn, kernel, bias, float(threshold))
            model, mel, opinion = _arrays(data, MAX_WINDOW_HEAD_BYTES, "model", "mel", "opinion")
            if model.dtype != np.uint8 or opinion.shape != (3,):
                raise ValueError(f"wanted bytes and three numbers, got {model.dtype} and {opinion.shape}")
            bank = mel.astype(np.float32)
            return WindowHead(entry.people, model.tobytes(), bank, Opinion(*map(float, opinion)))
        except DAMAGED as error:
            raise self.damaged(f"heads/{entry.file}", error) from error

    def people(self, manifest: Manifest) -> tuple[Known, ...]:
        """Everybody whom the manifest names.

        Raises:
            ProfileError: a voice is missing or damaged.
        """
        people = tuple(Known(person, self.read_vectors(person)) for person in manifest.people)
        if len({known.vectors.shape[1] for known in people}) > 1:
            raise self.damaged("voices", ValueError("the vectors of two people differ in length"))
        return people

    def heard_again(self, manifest: Manifest, base: BaseModel | None, embed: Embed | None) -> list[Known]:
        """Everybody whom the manifest names, embedded again from their sound; nobody's voice file is right any more.

        Args:
            manifest: what another base model made.
            base: what they are embedded by, for messages.
            embed: embeds them.

        Raises:
            ProfileError: no sound is kept of somebody, it is damaged, or no speech is heard in it.
        """
        silent = [person.name for person in manifest.people if not person.audio()]
        if embed is None or silent:
            lack = f"no sound is kept of {listed(silent)}" if silent else "nothing is at hand to embed its sound"
            wanted = base.sha256[:8] if base else "none"
            raise ProfileError(
                f"the profile in {self.shown} was made by another base model or with other features (wanted "
                f"{wanted}, got {safe_text(manifest.base.sha256[:8])}) and cannot be made again, because {lack}; "
                f"{self.again}"
            )
        people = []
        for person in manifest.people:
            vectors: list[FloatArray] = []
            references: list[Reference] = []
            for file in dict.fromkeys(r.audio for r in person.references if r.audio):
                rows, speech_s = embed(self.read_audio(file))
                heard = np.flatnonzero(speech_s > 0)
                vectors.extend(rows[heard])
                references.extend(Reference(float(s), file) for s in speech_s[heard])
            if not references:
                raise ProfileError(
                    f"the base model hears no speech in the sound kept of {person.name} in {self.shown}; {self.again}"
                )
            checked, _ = check_references(vectors, [reference.speech_s for reference in references])
            people.append(Known(replace(person, references=tuple(references)), checked))
        return people

    def damaged(self, what: str, error: Exception) -> ProfileError:
        """An error that says which part of the profile cannot be used, and why."""
        reason = system_reason(error) if isinstance(error, OSError) else safe_text(one_line(error))
        return ProfileError(f"the profile in {self.shown} is damaged: {what}: {reason[:200]}; {self.restore}")


def _arrays(data: bytes, most_bytes: int, *names: str) -> list[NDArray[Any]]:
    # The arrays of an .npz that holds these and nothing else.
    archive = open_archive(io.BytesIO(data), most_members=len(names), most_bytes=most_bytes)
    arrays = []
    for name in names:
        member = io.BytesIO(read_member(archive, f"{name}.npy", most_bytes))
        with warnings.catch_warnings(action="ignore"):
            arrays.append(np.lib.format.read_array(member, allow_pickle=False))
    return arrays


def listed(names: Sequence[str]) -> str:
    """Names in a message, the first twenty of them."""
    more = len(names) - _NAMES_IN_A_MESSAGE
    return ", ".join(names[:_NAMES_IN_A_MESSAGE]) + (f" and {more} more" if more > 0 else "")
