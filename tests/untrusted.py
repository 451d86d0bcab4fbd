"""What anybody may have made, read as livespeaker reads it: bytes in, `LivespeakerError` or something whole out.

`test_untrusted.py` feeds these by rule, `fuzz.py` by coverage.
"""

import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from hypothesis import strategies as st

from model.archive import DAMAGED
from model.base_file import SUFFIXES, read_base_file
from model.manifest import SchemaError, parse_manifest
from model.profile import Profile
from model.profile_file import ProfileFile, write_profile_file
from model.profile_folder import ProfileFolder
from stream.errors import LivespeakerError
from stream.records import Block
from stream.replay import WavReplay
from stream.rttm import format_rttm, read_rttm
from stream.standard_input import StandardInput
from tests.people import BASE, one_line, two_people, vectors

MOST_SAMPLES = 3_000_000  # a header may promise hours


def read_sound(data: bytes) -> None:
    """As `replay FILE` does."""
    _as_file(data, lambda path: _listen(WavReplay(path, speed=None)))


def read_standard_input(data: bytes) -> None:
    """As `replay -` does."""
    refused_or(lambda: _listen(StandardInput(io.BytesIO(data))))


def read_rttm_file(data: bytes) -> None:
    """As `--reference FILE` does; what comes of it can be written and read again."""

    def read(path: Path) -> None:
        turns = read_rttm(path)
        assert all(0 <= turn.start <= turn.end for turn in turns)
        again = "".join(format_rttm(turn, "talk") + "\n" for turn in turns)
        assert all(len(line.split()) == 10 for line in again.split("\n") if line)

    _as_file(data, read)


def read_manifest(data: bytes) -> None:
    """As every command reads `profile.json`; what comes of it is the same when it is written and read again."""
    with suppress(SchemaError, *DAMAGED):
        manifest = parse_manifest(data)
        assert parse_manifest(manifest.to_json()) == manifest

    def read(path: Path) -> None:
        (path.parent / "profile.json").write_bytes(data)
        ProfileFolder(path.parent).read()

    _as_file(b"", read)


def read_profile_file(data: bytes) -> None:
    """As `speakers import` does, into a profile that is as before, or whole."""

    def read(path: Path) -> None:
        mine = Profile(path.parent / "mine", BASE)
        try:
            with ProfileFile(path) as found:
                mine.take_in(found, 16)
        except LivespeakerError:
            assert Profile(path.parent / "mine", BASE).voices == ()
            raise
        known = Profile(path.parent / "mine", BASE)
        assert len(known.voices) > 0
        assert all(np.isfinite(voice.vectors).all() for voice in known.voices)
        known.recordings()
        outside = {each.name for each in path.parent.iterdir()} - {"mine", path.name}
        assert not outside, f"written outside of the profile: {outside}"

    _as_file(data, read)


def read_base(data: bytes) -> None:
    """As `fine-tune --base FILE` looks at it before Keras does."""
    suffix = ".keras" if data.startswith(b"PK") else ".h5"
    _as_file(data, read_base_file, f"x{suffix}")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "sound": read_sound,
    "standard-input": read_standard_input,
    "rttm": read_rttm_file,
    "manifest": read_manifest,
    "profile": read_profile_file,
    "base": read_base,
}


def seeds(target: str) -> list[bytes]:
    """Whole inputs of a kind, to be spoilt."""
    if target in ("sound", "standard-input"):
        formats = [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAVEX", "PCM_32"), ("RF64", "PCM_16")]
        if target == "sound":
            formats += [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
            formats += [("AIFF", "PCM_16"), ("AU", "ULAW"), ("CAF", "PCM_16"), ("W64", "PCM_16"), ("WAV", "IMA_ADPCM")]
        sound = np.random.default_rng(0).uniform(-0.5, 0.5, (400, 2)).astype(np.float32)
        return [_encoded(sound, *form) for form in formats]
    if target == "rttm":
        return [
            b"SPEAKER talk 1 6.000 4.300 <NA> <NA> Rob <NA> <NA>\nSPEAKER t 1 11 .5 <NA> <NA> Zo\xc3\xab <NA> <NA>\n",
            b";; by hand\nSPKR-INFO talk 1 <NA> <NA> <NA> unknown Rob <NA>\n\nSPEAKER t 1 1e3 2E-1 <NA> <NA> x\r\n",
        ]
    if target == "base":
        from tests.bases import over_mean, saved  # Keras takes seconds to import

        with tempfile.TemporaryDirectory() as place:
            return [saved(over_mean(), Path(place) / f"base{suffix}").read_bytes() for suffix in SUFFIXES]
    with tempfile.TemporaryDirectory() as place:
        folder = two_people(Path(place) / "profile")
        if target == "manifest":
            return [(folder / "profile.json").read_bytes()]
        written = Path(place) / "file"
        write_profile_file(ProfileFolder(folder), written, audio=True)
        bare = Path(place) / "bare"
        Profile(Path(place) / "other", BASE).add("Zo\xeb", vectors(5), [1.0, 2.0, 3.0])
        write_profile_file(ProfileFolder(Path(place) / "other"), bare, audio=False)
        return [written.read_bytes(), bare.read_bytes()]


def _encoded(sound: np.ndarray, form: str, subtype: str) -> bytes:
    out = io.BytesIO()
    sf.write(out, sound, 16_000, format=form, subtype=subtype)
    return out.getvalue()


def _listen(source: WavReplay | StandardInput) -> None:
    with source:
        position = 0
        for block in source.blocks():
            assert isinstance(block, Block)
            assert block.start == position
            assert block.samples.ndim == 1
            assert 0 < len(block.samples) <= source.rate
            assert np.isfinite(block.samples).all()
            position += len(block.samples)
            if position > MOST_SAMPLES:
                return
        if source.warning:
            one_line(source.warning)


def _as_file(data: bytes, read: Callable[[Path], object], name: str = "x") -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        path.write_bytes(data)
        refused_or(lambda: read(path))


def refused_or(read: Callable[[], object]) -> None:
    """It is read, or refused in one line."""
    try:
        read()
    except LivespeakerError as error:
        one_line(str(error))


# -- descriptions in JSON ----------------------------------------------------------------------------------------------

_STRANGE = ["0f1e2d3c4b5a6978", "../../etc", "8c0b7f1e2d3a4c5b.npz", "a1b2c3d4e5f60718.flac", "layers", 10**400]
_LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(_STRANGE)
_ANYTHING = st.recursive(_LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in what JSON holds."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(place for key in keys for place in _places(value[key], (*path, key)))]


def put_anything(data: st.DataObject, described: dict[str, Any]) -> None:
    """Change one place of what JSON holds, below a first key, to something else."""
    *way, last = data.draw(st.sampled_from(_places(described)[1:]))
    holder: Any = described
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(_ANYTHING)
