"""The profile: the set of known people, in a folder of the user's.

Voices are biometric data: the folder is closed to other users, nothing in it is pickled, and removing
somebody deletes what was kept of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from platformdirs import user_data_path

from model.head import Head
from model.manifest import HeadEntry, Manifest, Person, Reference
from model.profile_folder import ProfileFolder, new_id
from model.profile_reader import Embed, Known, ProfileReader, listed
from model.voices import MAX_REFERENCES, BaseModel, Voice, check_name, check_references, most_useful, name_key
from model.window_head import WindowHead
from stream.errors import ProfileError, UsageError
from stream.records import FloatArray
from stream.text import safe_text

__all__ = ["MAX_REFERENCES", "BaseModel", "Profile", "Voice", "check_name", "default_profile"]


MAX_HEADS = 5
"""Fine-tuned heads that are kept, to go back to."""


def default_profile() -> Path:
    """Where the profile is unless `--profile` says otherwise: in the user's data folder."""
    return user_data_path("livespeaker", appauthor=False) / "profile"


class Profile:
    """The known people. Every change is on the disk, whole, when its method returns.

    A change begins by reading the profile again under a lock, so processes that change one profile lose
    nothing of each other's; `voices` shows the profile as it was when it was opened or last changed here.

    Args:
        folder: where it is. One that does not exist is an empty profile, made with the first change.
        base: what the embeddings of this program come from. None takes the profile's own: enough to
            look after people whatever base model made them, but nobody can be added.
        embed: makes reference embeddings of sound: (n,) in [-1, 1] at 16 kHz -> vectors (m, d) of unit
            length and the seconds of speech (m,) behind each. A profile made by another base model is made
            again with it, and written, when it is opened; references without kept sound are lost by that,
            which is refused when it would leave somebody with none.

    Raises:
        ProfileError: the profile is damaged, made by a newer program, or by another base model without
            the sound to make it again. The methods that change it raise this as well, when the folder cannot
            be written to; then nothing is changed.
    """

    def __init__(self, folder: Path, base: BaseModel | None, *, embed: Embed | None = None) -> None:
        self._folder = ProfileFolder(folder)
        self._base = base
        self._embed = embed
        self._people: tuple[Known, ...] = ()
        self._heads: tuple[HeadEntry, ...] = ()
        self._head: Head | WindowHead | None = None
        self._open()

    def _open(self) -> None:
        self._stamp = self._folder.stamp()
        manifest = self._folder.read()
        if manifest and self._is_foreign(manifest):
            with self._changing():
                pass  # reading it for a change makes it again
        else:
            self._load(manifest)

    def refresh(self) -> bool:
        """Read it again where another process has changed it; whether it has.

        A profile that is damaged meanwhile stays known as it was.
        """
        if self._folder.stamp() == self._stamp:
            return False
        try:
            self._open()
        except ProfileError:
            return False
        return True

    @property
    def voices(self) -> tuple[Voice, ...]:
        """Everybody, in the order of their first enrolment."""
        return tuple(_voice(known) for known in self._people)

    def find(self, name: str) -> Voice | None:
        """Whoever has this name, in any case and spacing; None for nobody."""
        at = _index(self._people, name)
        return None if at is None else _voice(self._people[at])

    @property
    def head(self) -> Head | WindowHead | None:
        """The fine-tuned head that is in use."""
        return self._head

    @property
    def head_version(self) -> int:
        """Its version, 0 for none."""
        return self._heads[-1].version if self._heads else 0

    def recordings(self) -> dict[str, list[FloatArray]]:
        """By id, the kept sound of everybody: (n,) in [-1, 1] at 16 kHz each.

        Raises:
            ProfileError: a recording is missing or damaged.
        """
        return {
            known.person.id: [self._folder.read_audio(file) for file in sorted(known.person.audio())]
            for known in self._people
        }

    def take_head(self, head: Head | WindowHead) -> int:
        """Use a head from now on; its version. The `MAX_HEADS` newest are kept.

        Raises:
            ProfileError: somebody whom it knows has been removed.
        """
        with self._changing() as people:
            if not {known.person.id for known in people}.issuperset(head.people):
                raise ProfileError(
                    f"somebody was removed from the profile in {self._folder.shown} meanwhile; nothing was changed; "
                    "run livespeaker fine-tune again"
                )
            version = self._last_version + 1
            made = datetime.now(UTC).isoformat(timespec="seconds")
            kind = "layers" if isinstance(head, Head) else "window"
            entry = HeadEntry(version, made, self._folder.write_head(head), head.people, kind)
            self._heads = (*self._heads, entry)[-MAX_HEADS:]
        return version

    def roll_back(self) -> int:
        """Forget the head that is in use and use the one before it; that one's version, 0 for none.

        Raises:
            ProfileError: there is no head.
        """
        if self._folder.read() is None:
            raise self._no_head()
        with self._changing():
            if not self._heads:
                raise self._no_head()
            self._heads = self._heads[:-1]
        return self.head_version

    def _no_head(self) -> ProfileError:
        return ProfileError(
            f"wanted a fine-tuned head to take back in the profile in {self._folder.shown}, got none; "
            "run livespeaker fine-tune first"
        )

    def add(self, name: str, vectors: ArrayLike, speech_s: ArrayLike, audio: Sequence[FloatArray] = ()) -> Voice:
        """Make a person known, or known better: references add up, the `MAX_REFERENCES` most useful stay.

        Args:
            name: any text that `check_name` takes; upper and lower case are one person, whose name stays.
            vectors: (n, d) unit-length embeddings of the base model.
            speech_s: (n,) seconds of speech behind each.
            audio: the sound they came from, to be kept: (m,) in [-1, 1] at 16 kHz. When there is one for
                every vector it is kept as long as that vector is; otherwise all of it is one recording, kept
                as long as any of the vectors.

        Returns:
            All that is now known of the person.

        Raises:
            UsageError: no such name can be given.
            ValueError: arrays of wrong shapes or values.
        """
        name = check_name(name)
        if self._base is None:
            raise ValueError("wanted the base model that made the vectors, got None")
        new_vectors, new_speech_s = check_references(vectors, speech_s)
        recordings = _recordings(audio, len(new_vectors))
        with self._changing() as people:
            if people and people[0].vectors.shape[1] != new_vectors.shape[1]:
                raise ValueError(
                    f"wanted vectors of {people[0].vectors.shape[1]} values as in the profile, "
                    f"got {new_vectors.shape[1]}"
                )
            files: list[str | None] = [self._folder.write_audio(samples) for samples in recordings]
            if len(files) < len(new_vectors):
                files = (files or [None]) * len(new_vectors)
            references = [Reference(float(s), file) for s, file in zip(new_speech_s, files, strict=True)]
            at = _index(people, name)
            if at is None:
                people.append(self._keep(new_id(), name, new_vectors, references))
                at = len(people) - 1
            else:
                people[at] = self._joined(people[at], new_vectors, references)
        return _voice(self._people[at])

    def take_in(self, other: ProfileReader, size: int, *, merge: bool = False) -> tuple[Voice, ...]:
        """Make everybody of another profile known here, all of them or nobody.

        Its files get new names and its people new ids. What another base model made is made again from its
        sound.

        Args:
            other: the other profile, read and checked whole before anything is changed here.
            size: values of an embedding of the base model.
            merge: whether people who are known here already get known better, as by `add`.

        Returns:
            All that is now known of them.

        Raises:
            UsageError: somebody is known here already, and not `merge`.
            ProfileError: the other profile is damaged, or of another base model without the sound to make it again.
        """
        if self._base is None:
            raise ValueError("wanted the base model of the program, got None")
        manifest = other.manifest()
        if self._is_foreign(manifest):
            found: Sequence[Known] = other.heard_again(manifest, self._base, self._embed)
        else:
            found = other.people(manifest)
            for file in sorted(set().union(*(known.person.audio() for known in found))):
                other.read_audio(file)
        if any(known.vectors.shape[1] != size for known in found):
            raise other.damaged("voices", ValueError(f"wanted vectors of {size} values, got others"))
        keys = [name_key(known.person.name) for known in found]
        with self._changing() as people:
            if any(known.vectors.shape[1] != size for known in people):
                raise self._folder.damaged("voices", ValueError(f"wanted vectors of {size} values, got others"))
            known_here = {name_key(known.person.name): at for at, known in enumerate(people)}
            taken = [known.person.name for known, key in zip(found, keys, strict=True) if key in known_here]
            if taken and not merge:
                raise UsageError(
                    f"wanted people who are not known yet, got {listed(taken)}; nothing was changed; `livespeaker "
                    "speakers rename` them here, or give --merge if they are the same people"
                )
            for new, key in zip(found, keys, strict=True):
                person = new.person
                files = {file: self._folder.write_audio(other.read_audio(file)) for file in sorted(person.audio())}
                references = [Reference(r.speech_s, files[r.audio] if r.audio else None) for r in person.references]
                if key in known_here:
                    people[known_here[key]] = self._joined(people[known_here[key]], new.vectors, references)
                else:
                    people.append(self._keep(new_id(), person.name, new.vectors, references, person.added))
        return tuple(voice for voice in self.voices if name_key(voice.name) in keys)

    def rename(self, old: str, new: str) -> Voice:
        """Give a person another name, or their name another spelling.

        Raises:
            UsageError: the new name is taken by another person, or no such name can be given.
            ProfileError: nobody is called `old`.
        """
        new = check_name(new)
        with self._changing(old) as people:
            at = self._find(people, old)
            if _index(people, new) not in (None, at):
                raise UsageError(
                    f"somebody is called {new} already; give another name, or make one person of the two with "
                    "`livespeaker speakers merge`"
                )
            people[at] = replace(people[at], person=replace(people[at].person, name=new))
        return _voice(self._people[at])

    def remove(self, name: str) -> None:
        """Forget a person: name, embeddings and sound are deleted from the folder before this returns.

        They are deleted as the file system deletes: not overwritten, and not in copies made elsewhere.

        Raises:
            ProfileError: nobody is called that.
        """
        with self._changing(name) as people:
            del people[self._find(people, name)]

    def merge(self, into: str, other: str) -> Voice:
        """Make one person of two that are the same: `into` gets the references of `other`, who is gone.

        Raises:
            UsageError: the two are one already.
            ProfileError: nobody is called `into` or `other`.
        """
        with self._changing(into) as people:
            to, away = (people[self._find(people, name)] for name in (into, other))
            if to is away:
                raise UsageError(f"wanted two people to merge, got {to.person.name} twice; name the other one")
            merged = self._joined(to, away.vectors, away.person.references)
            people[people.index(to)] = merged
            people.remove(away)
            at = people.index(merged)
        return _voice(self._people[at])

    @contextmanager
    def _changing(self, known: str | None = None) -> Iterator[list[Known]]:
        """Everybody, read again under the lock; what the caller makes of the list is committed.

        Args:
            known: somebody who must be known already; when nobody is, no folder is made to find that out.
        """
        if known is not None and self._folder.read() is None:
            self._find((), known)
        with self._folder.changing():
            manifest = self._folder.read()
            base = self._base or (manifest.base if manifest else None)
            if manifest and self._is_foreign(manifest):
                people, self._heads = self._remade(manifest), ()  # heads follow the embeddings of their base model
            else:
                self._load(manifest)
                people = [*self._people]
            self._last_version = max((entry.version for entry in self._heads), default=0)
            heads = self._heads
            try:
                yield people
            except BaseException:
                self._heads = heads
                raise
            if base:
                # What was learned from a voice goes with it.
                ids = {known.person.id for known in people}
                self._heads = tuple(entry for entry in self._heads if ids.issuperset(entry.people))
                self._folder.commit(Manifest(base, tuple(known.person for known in people), self._heads))
                self._people, self._stamp = tuple(people), self._folder.stamp()
                self._head = self._folder.read_head(self._heads[-1]) if self._heads else None

    def _is_foreign(self, manifest: Manifest) -> bool:
        # A profile without people holds nothing that a base model made.
        return bool(manifest.people) and self._base is not None and manifest.base != self._base

    def _load(self, manifest: Manifest | None) -> None:
        people: tuple[Known, ...] = ()
        head = None
        while manifest:
            try:
                people = self._folder.people(manifest)
                head = self._folder.read_head(manifest.heads[-1]) if manifest.heads else None
                break
            except ProfileError:
                # Another process may have changed the profile, and deleted files, between two readings.
                before, manifest = manifest, self._folder.read()
                if manifest == before or (manifest and self._is_foreign(manifest)):
                    raise
        self._people, self._head, self._heads = people, head, manifest.heads if manifest else ()

    def _remade(self, manifest: Manifest) -> list[Known]:
        """Everybody, embedded again by this program's base model; written, not committed."""
        heard = self._folder.heard_again(manifest, self._base, self._embed)
        return [
            self._keep(known.person.id, known.person.name, known.vectors, known.person.references, known.person.added)
            for known in heard
        ]

    def _joined(self, known: Known, vectors: FloatArray, references: Sequence[Reference]) -> Known:
        """A person with more references."""
        both = np.concatenate([known.vectors, vectors])
        return self._keep(known.person.id, known.person.name, both, [*known.person.references, *references])

    def _keep(
        self,
        person_id: str,
        name: str,
        vectors: FloatArray,
        references: Sequence[Reference],
        added: str | None = None,
    ) -> Known:
        """Write the most useful of a person's references (n, d); not committed yet."""
        keep = most_useful(vectors, np.array([reference.speech_s for reference in references], np.float32))
        kept = vectors[keep]
        kept.flags.writeable = False
        added = added or datetime.now(UTC).isoformat(timespec="seconds")
        person = Person(person_id, name, added, self._folder.write_vectors(kept), tuple(references[i] for i in keep))
        return Known(person, kept)

    def _find(self, people: Sequence[Known], name: str) -> int:
        at = _index(people, name)
        if at is None:
            known = f"known: {listed([k.person.name for k in people])}" if people else "enrol somebody first"
            raise ProfileError(f"nobody is called {safe_text(name)!r} in this profile; {known}")
        return at


def _index(people: Sequence[Known], name: str) -> int | None:
    keys = [name_key(known.person.name) for known in people]
    key = name_key(name)
    return keys.index(key) if key in keys else None


def _voice(known: Known) -> Voice:
    speech_s = np.array([reference.speech_s for reference in known.person.references], np.float32)
    speech_s.flags.writeable = False
    has_audio = any(reference.audio for reference in known.person.references)
    return Voice(known.person.name, known.vectors, speech_s, known.person.added, has_audio, known.person.id)


def _recordings(audio: Sequence[FloatArray], vectors: int) -> list[FloatArray]:
    """The sound to keep: a recording for every vector, or one for all of them, or none."""
    for samples in audio:
        if samples.ndim != 1 or not len(samples) or not np.all(np.isfinite(samples)):
            raise ValueError(f"wanted finite sound (n,), n > 0, got shape {samples.shape}")
    return list(audio) if len(audio) in (0, vectors) else [np.concatenate(audio)]
