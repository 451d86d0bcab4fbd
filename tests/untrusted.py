"""What anybody may have made, read as livespeaker reads it: bytes in, `LivespeakerError` or something whole out.

`test_untrusted.py` feeds these by rule, `fuzz.py` by coverage.
"""

import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile as sf

from model.archive import DAMAGED
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
    _refused_or(lambda: _listen(StandardInput(io.BytesIO(data))))


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


TARGETS: dict[str, Callable[[bytes], None]] = {
    "sound": read_sound,
    "standard-input": read_standard_input,
    "rttm": read_rttm_file,
    "manifest": read_manifest,
    "profile": read_profile_file,
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


def _as_file(data: bytes, read: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x"
        path.write_bytes(data)
        _refused_or(lambda: read(path))


def _refused_or(read: Callable[[], None]) -> None:
    try:
        read()
    except LivespeakerError as error:
        one_line(str(error))
