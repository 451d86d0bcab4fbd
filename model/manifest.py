"""What `profile.json` says: the schema, the base model, the people and their references, the fine-tuned heads.

    {"schema": 1,
     "base": {"sha256": "9f86d081...", "features": {"n_mfcc": 30, "hop_ms": 10}},
     "people": [{"id": "0f1e2d3c4b5a6978", "name": "Ann", "added": "2025-11-23T09:30:00+00:00",
                 "voice": "8c0b7f1e2d3a4c5b.npz",
                 "references": [{"speech_s": 3.5, "audio": "a1b2c3d4e5f60718.flac"}]}],
     "heads": [{"version": 1, "made": "2025-11-23T09:31:00+00:00", "file": "1b2c3d4e5f60718a.npz",
                "people": ["0f1e2d3c4b5a6978"], "kind": "layers"}]}

Whatever the file holds is checked before it is used: it may have been cut, edited or made by somebody else.
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from model.voices import BaseModel, check_name, name_key
from stream.errors import UsageError

__all__ = [
    "AUDIO_FILE",
    "HEAD_KINDS",
    "SCHEMA",
    "VOICE_FILE",
    "HeadEntry",
    "Manifest",
    "Person",
    "Reference",
    "SchemaError",
    "parse_manifest",
]

SCHEMA = 1
"""Goes up when an old program would misread what a new one wrote; new keys and folders do not need it."""

VOICE_FILE = re.compile(r"[0-9a-f]{16}\.npz")
AUDIO_FILE = re.compile(r"[0-9a-f]{16}\.flac")
"""The names of files that this program writes. No other file is ever read, or deleted."""

HEAD_KINDS = ("layers", "window")
"""Layers that follow the embedding, or a converted base model; a head without a kind is the former."""

_ID = re.compile("[0-9a-f]{16}")
_MOST_SECONDS = 1e6  # of speech behind one reference: beyond it somebody has edited the file


class SchemaError(Exception):
    """The manifest is of another schema, which is the only argument."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where one row of a person's embeddings came from."""

    speech_s: float  # seconds of speech
    audio: str | None  # file in audio/; several references may come from one


@dataclass(frozen=True, slots=True)
class Person:
    """What is written about a person."""

    id: str  # random; stays when the name changes
    name: str
    added: str  # when references were last added: ISO 8601, UTC
    voice: str  # file in voices/
    references: tuple[Reference, ...]  # one for each row of the embeddings, oldest first

    def audio(self) -> set[str]:
        """The files in audio/ that sound of theirs is in."""
        return {reference.audio for reference in self.references if reference.audio}


@dataclass(frozen=True, slots=True)
class HeadEntry:
    """What is written about a fine-tuned head."""

    version: int  # counted from 1
    made: str  # ISO 8601, UTC
    file: str  # in heads/
    people: tuple[str, ...]  # ids of those whose voices went into it
    kind: str = "layers"  # or "window": a converted base model


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything. People stand in the order of their first enrolment."""

    base: BaseModel
    people: tuple[Person, ...]
    heads: tuple[HeadEntry, ...] = ()  # oldest first; the last one is in use

    def files(self) -> set[str]:
        """The names of all data files."""
        voices = {file for person in self.people for file in (person.voice, *person.audio())}
        return voices | {head.file for head in self.heads}

    def to_json(self) -> bytes:
        """The text of `profile.json`, which `parse_manifest` reads back."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False, allow_nan=False, indent=1)
        return text.encode() + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """The content of `profile.json`.

    Raises:
        SchemaError: it is of another schema.
        ValueError: it is damaged; the message says how.
    """
    try:
        raw = json.loads(data)
    except RecursionError as error:
        raise ValueError("too many brackets") from error
    schema = _get(raw, "schema", int)
    if schema != SCHEMA:
        raise SchemaError(schema)
    base = _get(raw, "base", dict)
    features = _get(base, "features", dict)
    if not all(isinstance(value, int | float) for value in features.values()):
        raise ValueError("features are not numbers")
    people = tuple(_person(person) for person in _get(raw, "people", list))
    for what in ([person.id for person in people], [name_key(person.name) for person in people]):
        if len(set(what)) < len(what):
            raise ValueError("somebody is in it twice")
    heads = tuple(_head(head) for head in _get({"heads": []} | raw, "heads", list))
    known = {person.id for person in people}
    if any(not known.issuperset(head.people) for head in heads):
        raise ValueError("a head knows somebody who is not in it")
    return Manifest(BaseModel(_get(base, "sha256", str), features), people, heads)


def _head(raw: object) -> HeadEntry:
    if not isinstance(raw, dict):
        raise ValueError("a head is no object")
    return HeadEntry(
        _get(raw, "version", int),
        _time(_get(raw, "made", str)),
        _matching(VOICE_FILE, _get(raw, "file", str)),
        tuple(_matching(_ID, person) for person in _get(raw, "people", list)),
        _one_of(HEAD_KINDS, _get({"kind": "layers"} | raw, "kind", str)),
    )


def _person(raw: object) -> Person:
    try:
        name = check_name(_get(raw, "name", str))
    except UsageError as error:
        raise ValueError(str(error)) from error
    return Person(
        _matching(_ID, _get(raw, "id", str)),
        name,
        _time(_get(raw, "added", str)),
        _matching(VOICE_FILE, _get(raw, "voice", str)),
        tuple(_reference(reference) for reference in _get(raw, "references", list)),
    )


def _reference(raw: object) -> Reference:
    speech_s = _get(raw, "speech_s", float | int)
    if not 0 < speech_s < _MOST_SECONDS:
        raise ValueError("speech_s is out of range")
    audio = _get(raw, "audio", str | None)
    return Reference(float(speech_s), None if audio is None else _matching(AUDIO_FILE, audio))


def _get(raw: object, key: str, kind: Any) -> Any:
    if not isinstance(raw, dict) or key not in raw:
        raise ValueError(f"no {key}")
    if not isinstance(raw[key], kind):
        raise ValueError(f"{key} is a {type(raw[key]).__name__}")
    return raw[key]


def _time(text: str) -> str:
    # Python takes any character between date and time, one that a terminal obeys as well.
    if datetime.fromisoformat(text).isoformat() != text or not text.endswith("+00:00"):
        raise ValueError("a date is no time in UTC")
    return text


def _one_of(known: tuple[str, ...], text: str) -> str:
    if text not in known:
        raise ValueError("a head is of an unknown kind")
    return text


def _matching(pattern: re.Pattern[str], text: object) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError("a file or a person has an impossible id")
    return text
