"""A network that was trained elsewhere: read as it was written, refused in one line when it is none."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.network import NetworkConfig, fused_layout
from model.trained import Trained, read_trained, write_trained
from stream.errors import WeightsError
from stream.mfcc import MfccConfig
from tests.sound import one_line

NETWORK = NetworkConfig(n_mfcc=20, channels=16, pooled=24, dilations=(2,), embedding=16)
MFCC = MfccConfig(n_mels=24, n_mfcc=20)
CARD = {"date": "2026-01-02", "trained_on": {"people": {"speakers": 4}}}
KERNEL = "stem_conv/kernel"


def trained() -> Trained:
    rng = np.random.default_rng(0)
    weights = {
        name: rng.uniform(0.5, 2.0, shape).astype(dtype) for name, (shape, dtype) in fused_layout(NETWORK).items()
    }
    return Trained(weights, NETWORK, MFCC, CARD)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_trained(tmp_path / "network.npz", trained())
    return tmp_path / "network.npz"


def test_a_network_is_read_as_it_was_written(file: Path):
    read = read_trained(file)
    assert (read.network, read.mfcc, read.card) == (NETWORK, MFCC, CARD)
    assert read.weights.keys() == trained().weights.keys()
    for name, array in trained().weights.items():
        np.testing.assert_array_equal(read.weights[name], array)
        assert read.weights[name].dtype == array.dtype
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def changed(file: Path, **arrays: Any) -> None:
    """Write the file again with other arrays; None leaves one out."""
    with np.load(file) as kept:
        every = dict(kept) | {name.replace("__", "/"): array for name, array in arrays.items()}
    np.savez(file, **{name: array for name, array in every.items() if array is not None})


def told_otherwise(file: Path, **parts: Any) -> None:
    about = {"network": dataclasses.asdict(NETWORK), "mfcc": dataclasses.asdict(MFCC), "card": CARD} | parts
    changed(file, about=json.dumps(about))


def one_array(file: Path) -> None:
    with file.open("wb") as opened:
        np.save(opened, np.zeros(3))


def another_archive(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "no arrays")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.unlink(), "no such file or folder"),
        (lambda file: file.write_text("no arrays"), "no .npz file"),
        (one_array, "no .npz file"),
        (lambda file: file.write_bytes(file.read_bytes()[:-200]), "no .npz file"),
        (another_archive, "no array 'about'"),
        (lambda file: changed(file, about=None), "no array 'about' that tells network, mfcc, card"),
        (lambda file: changed(file, about="{no JSON"), "Expecting property name"),
        (lambda file: changed(file, about=np.array({}, object)), "allow_pickle=False"),
        (lambda file: told_otherwise(file, card=None), "no array 'about' that tells network, mfcc, card"),
        (lambda file: told_otherwise(file, network={}), "no 'dilations'"),
        (lambda file: told_otherwise(file, network=dataclasses.asdict(NETWORK) | {"heads": 2}), "'heads'"),
        (lambda file: told_otherwise(file, mfcc={"n_mfcc": 99}), "MFCC needs"),
        (lambda file: told_otherwise(file, mfcc={}), "a network of 20 coefficients, features of 60"),
        (lambda file: changed(file, stem_conv__kernel=None, gate__bias=None), f"no gate/bias, {KERNEL}"),
        (lambda file: changed(file, lesson_dense__kernel=np.ones(3)), "lesson_dense/kernel, which a network of this"),
        (
            lambda file: changed(file, stem_conv__kernel=np.ones((3, 4), np.float16)),
            f"{KERNEL} of shape (3, 4) in float16 instead of (100, 16) in float16",
        ),
        (
            lambda file: changed(file, stem_conv__kernel=np.ones((100, 16))),
            f"{KERNEL} of shape (100, 16) in float64 instead of (100, 16) in float16",
        ),
        (
            lambda file: changed(file, stem_conv__kernel=np.full((100, 16), np.nan, np.float16)),
            f"{KERNEL} with what is no number",
        ),
    ],
)
def test_what_is_no_trained_network_is_refused_in_one_line(file: Path, spoil: Any, words: str):
    spoil(file)
    with pytest.raises(WeightsError) as caught:
        read_trained(file)
    assert words in one_line(caught)
    assert one_line(caught).endswith("write it with examples/train_on_gpu.py")


def test_a_damaged_array_is_refused(file: Path):
    whole = bytearray(file.read_bytes())
    at = whole.find(trained().weights[KERNEL].tobytes())
    whole[at] ^= 1
    file.write_bytes(whole)
    with pytest.raises(WeightsError, match="CRC"):
        read_trained(file)
