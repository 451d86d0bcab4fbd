"""People and their voices as values: what a name may be, what a reference is, which references stay."""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stream.errors import UsageError
from stream.records import UNKNOWN, FloatArray
from stream.text import safe_text

__all__ = [
    "MAX_NAME",
    "MAX_REFERENCES",
    "MIXED_COSINE",
    "SHORT_SPEECH_S",
    "BaseModel",
    "Voice",
    "check_name",
    "check_references",
    "coherence",
    "most_useful",
    "name_key",
    "quality",
]

MAX_REFERENCES = 10
"""Reference embeddings kept of one person."""

MAX_NAME = 64
"""Characters in a name."""

SHORT_SPEECH_S = 10.0
"""Seconds of speech of a person below which more would help before anything else."""

MIXED_COSINE = 0.5
"""Coherence below which a voice is two people's, or a part of it noise.

On dev speakers, references of at most 3 s, 948 draws of one speaker's, and as many of which the last third (of two,
the half) is another speaker's of the same corpus. How many are below:

                   one speaker   a third of it another's
    2 references   5.3 %         98.6 %
    3              6.1           94
    4              4.7           91
    6, 8, 10       0, 0, 0       91, 92, 91

Below 6 references, those of one speaker are mostly words of a second that were recorded one by one.
"""

_UNIT_TOLERANCE = 1e-3  # far above what float32 leaves, far below what a wrong vector shows
_JOINERS = "\u200c\u200d"  # invisible, but Persian, the Indic scripts and emoji are spelt with them
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols to Unicode, nothing to an eye
_UNSEEN = re.compile(f"[{_JOINERS}{_BLANKS}\u034f\ufe00-\ufe0f]")  # and the variation selectors
_RESERVED = re.compile(f"{UNKNOWN}|guest-[0-9]+|<na>")  # <NA> is how RTTM says "nobody"


@dataclass(frozen=True, eq=False, slots=True)
class Voice:
    """A known person."""

    name: str
    vectors: FloatArray  # (n, d) unit-length reference embeddings, 1 <= n <= MAX_REFERENCES, oldest first
    speech_s: FloatArray  # (n,) seconds of speech behind each
    added: str  # when references were last added: ISO 8601, UTC
    has_audio: bool  # whether sound is kept from which the references can be made again
    id: str = ""  # of the person in a profile: stays when the name changes


@dataclass(frozen=True, slots=True)
class BaseModel:
    """What embeddings came from. Those of another base model cannot be compared with them."""

    sha256: str  # of the network's weights
    features: dict[str, float | int]  # the feature settings that it was trained with


def name_key(name: str) -> str:
    """What tells two names apart: not their case, their spacing or invisible characters.

    >>> name_key("Ann  Lee") == name_key("ANN lee"), name_key("Zoe\u0308") == name_key("Zoë")
    (True, True)
    """
    # Casefolding can leave text that NFKC would change again (Unicode 3.13, D146).
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(_UNSEEN.sub("", folded).split())


def check_name(name: str) -> str:
    r"""The name as it is kept: in Unicode's composed form (NFC), without spaces around it.

    Args:
        name: any text, in any script.

    Raises:
        UsageError: it is empty or cannot be seen, longer than `MAX_NAME`, reserved (`unknown`, `guest-1`),
            looks like a path, or holds what a terminal obeys (control characters, bidirectional overrides).

    >>> check_name("  Zoe\u0308 ")
    'Zoë'
    """
    name = unicodedata.normalize("NFC", name).strip()
    key = name_key(name)
    shown = repr(safe_text(name[:MAX_NAME]))
    if safe_text(name) != name:
        raise UsageError(f"a name needs characters that can be seen and nothing else, got {shown}; type it again")
    if not any(unicodedata.category(character)[0] in "LNPS" for character in key):
        raise UsageError(f"a name needs a character that can be seen, got {shown}; give a name such as Ann")
    if len(name) > MAX_NAME:
        raise UsageError(f"a name has at most {MAX_NAME} characters, got {len(name)}; give a shorter one")
    if _RESERVED.fullmatch(key):
        raise UsageError(f"{shown} is what livespeaker calls voices that it does not know; give another name")
    if "/" in key or "\\" in key or key in (".", ".."):
        raise UsageError(f"a name is not a path, got {shown}; give a name without / and \\")
    return name


def check_references(vectors: ArrayLike, speech_s: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Copies of reference embeddings (n, d) and their seconds of speech (n,), nobody can write to them.

    Raises:
        ValueError: wrong shapes, no reference, a vector that is not of unit length, no speech behind one.
    """
    own_vectors = np.array(vectors, np.float32)
    own_speech_s = np.array(speech_s, np.float32)
    if own_vectors.ndim != 2 or 0 in own_vectors.shape or own_speech_s.shape != own_vectors.shape[:1]:
        raise ValueError(
            f"wanted vectors (n, d) and seconds of speech (n,), got {own_vectors.shape} and {own_speech_s.shape}"
        )
    with np.errstate(invalid="ignore"):  # a NaN that signals is refused like any other
        lengths = np.linalg.norm(own_vectors.astype(np.float64), axis=1)
    if not np.all(np.abs(lengths - 1) <= _UNIT_TOLERANCE):  # NaN too
        raise ValueError("wanted vectors of length 1, got others")
    if not (np.all(own_speech_s > 0) and np.all(np.isfinite(own_speech_s))):
        raise ValueError("wanted more than 0 s of speech behind every vector, got others")
    own_vectors.flags.writeable = own_speech_s.flags.writeable = False
    return own_vectors, own_speech_s


def coherence(vectors: FloatArray, speech_s: FloatArray) -> float:
    """How well a voice hangs together: the cosine between the two parts into which it falls most easily.

    The references are parted by the direction in which they differ most, their first principal component.

    Args:
        vectors: (n, d) unit length.
        speech_s: (n,) seconds of speech behind each.

    Returns:
        In [-1, 1]; NaN with fewer than two references.
    """
    if len(vectors) < 2:
        return float("nan")
    root = np.sqrt(speech_s)
    differences = root[:, None] * (vectors - np.average(vectors, axis=0, weights=speech_s))
    side = np.linalg.svd(differences, full_matrices=False)[0][:, 0] > 0
    parts = [speech_s[half] @ vectors[half] for half in (side, ~side)]
    if not side.any() or side.all():  # they do not differ
        return 1.0
    return float(parts[0] @ parts[1] / max(1e-6, np.linalg.norm(parts[0]) * np.linalg.norm(parts[1])))


def quality(voice: Voice) -> str:
    """How much a person's voice can be relied on, in a word.

    Returns:
        `short`: there is less than `SHORT_SPEECH_S` of speech. `mixed`: it falls into two parts that are so unlike that
        one may be somebody else's. `good`: neither.
    """
    if voice.speech_s.sum() < SHORT_SPEECH_S:
        return "short"
    return "mixed" if coherence(voice.vectors, voice.speech_s) < MIXED_COSINE else "good"


def most_useful(vectors: FloatArray, speech_s: FloatArray, at_most: int = MAX_REFERENCES) -> list[int]:
    """Which references stay when there are more than `at_most`.

    As long as there are too many, the two that are most alike are found and the one with less speech
    goes (the older one when they are equal): what is left spans the ways in which the person has sounded,
    each by its most reliable sample. Sound that is not the person's must be kept out before: it is unlike
    everything else, so it would stay.

    Args:
        vectors: (n, d) unit length.
        speech_s: (n,) seconds.
        at_most: how many may stay, at least 1.

    Returns:
        Indices, ascending.
    """
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -np.inf)
    kept = np.ones(len(vectors), bool)
    nearest, likeness = alike.argmax(1), alike.max(1)
    for _ in range(len(vectors) - at_most):
        first, second = sorted((int(likeness.argmax()), int(nearest[likeness.argmax()])))
        gone = first if speech_s[first] <= speech_s[second] else second
        kept[gone] = False
        alike[gone] = alike[:, gone] = likeness[gone] = -np.inf
        (bereft,) = np.nonzero((nearest == gone) & kept)
        nearest[bereft], likeness[bereft] = alike[bereft].argmax(1), alike[bereft].max(1)
    return [int(i) for i in np.flatnonzero(kept)]
