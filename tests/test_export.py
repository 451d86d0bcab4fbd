"""The recognizer for other programs: what is written says what the network says, or nothing is written."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from model.export import FRAMES, export
from model.head import Head
from model.scoring import centroid
from stream.errors import OutputError, UsageError
from stream.records import Block
from tests.sound import one_line
from tests.talk import NAMES, content, encoder, livespeaker, reading, voices


def a_head(scale: float = 4.0) -> Head:
    people = np.stack([centroid(voice) for voice in voices()])
    d = people.shape[1]
    kernel = np.hstack([scale * people.T, np.zeros((d, 1), np.float32)])
    return Head(tuple("abc"), np.eye(d, dtype=np.float32), kernel, np.array([0, 0, 0, 1], np.float32))


WHO = dict(zip("abc", NAMES, strict=True))


@pytest.mark.parametrize("name", ["recognizer.keras", "recognizer.tflite", "recognizer"])
def test_what_is_written_says_the_same(tmp_path: Path, name: str) -> None:
    difference = export(encoder(), a_head(), WHO, reading("Rob"), tmp_path / name)
    assert difference < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.json"]
    about = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert about["outputs"] == [*NAMES, "nobody of these"]


def test_another_program_knows_whose_voice_it_is(tmp_path: Path) -> None:
    export(encoder(), a_head(10.0), WHO, reading("Rob"), tmp_path / "r.keras")
    model = keras.models.load_model(tmp_path / "r.keras")
    about = json.loads((tmp_path / "r.keras.json").read_text(encoding="utf-8"))
    for name in NAMES:
        (rows,) = encoder().mfcc().push(Block(0, reading(name)))
        n = len(rows.mfcc) // 2 * 2
        said = np.asarray(model({"mfcc": rows.mfcc[None, :n], "share": np.ones((1, n), np.float32)}))
        assert about["outputs"][said[0].argmax()] == name
        assert said.sum() == pytest.approx(1.0, abs=1e-5)
    assert n > FRAMES  # of any length


def test_what_says_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.export.TOLERANCE", -1.0)
    with pytest.raises(OutputError, match="nothing was written") as error:
        export(encoder(), a_head(), WHO, reading("Rob"), tmp_path / "r.keras")
    one_line(error)
    assert not list(tmp_path.iterdir())


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "r.keras.json").write_text("mine")
    before = content(tmp_path)
    for name, words in (("r.keras", "is there already"), ("r.onnx", "ends with .keras"), ("r.keras.json", "ends with")):
        with pytest.raises(UsageError, match=words) as error:
            export(encoder(), a_head(), WHO, reading("Rob"), tmp_path / name)
        one_line(error)
    assert content(tmp_path) == before


def test_a_profile_without_a_head_has_nothing_to_export(tmp_path: Path) -> None:
    done = livespeaker("export", tmp_path / "r.keras", "--profile", tmp_path / "profile")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "run livespeaker fine-tune first" in line
    assert not (tmp_path / "r.keras").exists()
