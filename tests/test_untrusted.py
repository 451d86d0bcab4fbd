"""Whatever is in a file or a pipe: it is refused in one line, or something whole comes of it."""

import functools
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.enrol import Enrolment
from stream.errors import EnrolmentError, FileError
from stream.outputs import JsonLines
from stream.recognizer import Recognizer
from stream.replay import open_source
from stream.session import run_session
from tests.people import one_line
from tests.talk import encoder, stages
from tests.untrusted import TARGETS, put_anything, read_manifest, read_rttm_file, read_standard_input, seeds

# The same examples every time: a change is judged by what it does. `fuzz.py` looks further.
few = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
many = settings(few, max_examples=100)

whole = functools.cache(seeds)


@st.composite
def spoilt(draw: st.DrawFn, target: str) -> bytes:
    """A whole input of which a few bytes are others, more, or gone."""
    data = bytearray(draw(st.sampled_from(whole(target))))
    for _ in range(draw(st.integers(1, 4))):
        # Half of the time near the front, where headers are.
        at = draw(st.integers(0, len(data)) | st.integers(0, min(len(data), 100)))
        match draw(st.sampled_from(["flip", "put", "cut", "end", "twice"])):
            case "flip":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "put":
                number = st.sampled_from([0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
                new = draw(number.map(lambda n: n.to_bytes(4, "little")) | st.binary(max_size=8))
                data[at : at + len(new)] = new
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "end":
                del data[at:]
            case "twice":
                data[at:at] = data[at : at + draw(st.integers(1, 200))]
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS)
def test_a_spoilt_input_is_refused_or_whole(target: str) -> None:
    @few
    @given(spoilt(target))
    def check(data: bytes) -> None:
        TARGETS[target](data)

    for data in whole(target):
        TARGETS[target](data)
    check()


@many
@given(st.binary(max_size=300).map(lambda data: b"RIFF" + data[:4] + b"WAVEfmt " + data[4:]) | st.binary(max_size=64))
def test_any_bytes_may_come_from_a_pipe(data: bytes) -> None:
    read_standard_input(data)


word = st.sampled_from(
    ["SPEAKER", "SPKR-INFO", ";;", "<NA>", "1", "-1", "nan", "inf", "1e308", "1e400", "0.5", "\ufeff", "\x1b[2J"]
) | st.text(max_size=6)


@many
@given(st.lists(st.lists(word, max_size=11).map(" ".join), max_size=6).map("\n".join))
def test_any_words_may_be_in_an_rttm(text: str) -> None:
    read_rttm_file(text.encode("utf-8", "surrogatepass"))


@many
@given(st.data())
def test_anything_may_stand_anywhere_in_a_manifest(data: st.DataObject) -> None:
    manifest = {"": json.loads(whole("manifest")[0])}
    put_anything(data, manifest)
    with suppress(UnicodeEncodeError):  # a lone surrogate is no UTF-8 anyway
        read_manifest(json.dumps(manifest[""]).encode())


# -- sound that is no speech -------------------------------------------------------------------------------------------

TIMES = np.arange(3 * 48_000)
SOUNDS = {
    "not a number": np.where(TIMES == 50_000, np.nan, 0.1),
    "infinite": np.where(TIMES == 50_000, -np.inf, 0.1),
    "DC": np.ones(len(TIMES)),
    "square wave": np.where(TIMES // 240 % 2, 1.0, -1.0),
    "far beyond full scale": 1e5 * np.sin(TIMES / 20),
    "hardly there": 1e-40 * np.sin(TIMES / 20),
    "digital silence": np.zeros(len(TIMES)),
    "one sample": np.array([0.5]),
    "noise": np.random.default_rng(0).uniform(-1, 1, len(TIMES)),
    "clicks": (TIMES % 4_800 == 0).astype(float),
}
FORMS = [  # sample rate, channels, format
    (8_000, 1, "PCM_16"), (11_025, 3, "PCM_24"), (16_000, 1, "FLOAT"), (22_050, 2, "DOUBLE"), (44_100, 32, "FLOAT"),
    (48_000, 1, "PCM_24"), (96_000, 8, "FLOAT"), (192_000, 1, "FLOAT"), (192_000, 32, "PCM_24"),
]  # fmt: skip


# Every kind as 32-bit floats, which hold anything, and in two of the other forms.
CASES = [
    (kind, FORMS[i]) for at, kind in enumerate(SOUNDS) for i in sorted({2, at % len(FORMS), (at + 4) % len(FORMS)})
]


@pytest.mark.parametrize(("kind", "form"), CASES, ids=str)
def test_sound_that_is_no_speech_is_heard_or_refused_and_no_number_is_lost(
    kind: str, form: tuple[int, int, str], tmp_path: Path
) -> None:
    rate, channels, subtype = form
    path, lines = tmp_path / "x.wav", tmp_path / "x.jsonl"
    sound = SOUNDS[kind] if subtype in ("FLOAT", "DOUBLE") else np.nan_to_num(SOUNDS[kind]).clip(-1, 1)
    sf.write(path, np.repeat(sound[:, np.newaxis], channels, axis=1), rate, subtype=subtype)
    impossible = not np.isfinite(sound).all()
    listener = Recognizer(stages(), "x", rate)
    with JsonLines(lines, "x") as output:  # which takes no NaN
        if impossible:
            with (
                pytest.raises(FileError, match="is no sound at sample 50000") as unheard,
                open_source(path, None) as source,
            ):
                run_session(source, listener, [output])
            one_line(str(unheard.value))
        else:
            with open_source(path, None) as source:
                run_session(source, listener, [output])
            assert listener.duration == pytest.approx(len(sound) * 16_000 / rate, abs=1)
    assert "NaN" not in lines.read_text()
    assert not np.isnan(listener.snapshot.probabilities).any()
    with pytest.raises((EnrolmentError, FileError)) as refused:
        enrol(path)
    one_line(str(refused.value))


def enrol(path: Path) -> None:
    enrolment = Enrolment(encoder())
    with open_source(path, None) as source:
        for progress in enrolment.listen(source.blocks(), source.rate):
            assert np.isfinite([progress.percent, progress.speech_s]).all()
    enrolment.finish()
