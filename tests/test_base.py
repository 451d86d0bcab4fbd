"""Base models of the user's: which files are taken, and that no code in them is ever run."""

import functools
import io
import json
import resource
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from model.base import load_base
from model.base_convert import convert
from model.base_file import read_base_file
from model.window_head import WINDOW_ROWS, features
from stream.errors import WeightsError
from stream.mfcc import Mfcc
from stream.records import Block
from tests.bases import both_ways, constant, convolution, layers, loaded, mel, over_mean, recurrent, saved
from tests.sound import one_line
from tests.talk import reading
from tests.untrusted import put_anything, refused_or

# -- code in a file ----------------------------------------------------------------------------------------------------


def with_lambda(marker: Path) -> Any:
    """A model that leaves a mark when it is built or asked."""
    name = str(marker)
    run = eval(f"lambda x: (open({name!r}, 'w').close(), x)[1]")
    return keras.Sequential([keras.Input((13,)), layers.Lambda(run, output_shape=(13,)), *over_mean().layers])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_is_never_run(tmp_path: Path, suffix: str) -> None:
    marker = tmp_path / "it ran"
    path = saved(with_lambda(marker), tmp_path / f"base{suffix}")
    marker.unlink(missing_ok=True)
    keras.models.load_model(path, compile=False, safe_mode=False)(np.zeros((1, 13), np.float32))
    assert marker.exists()  # the code in the file does run where nobody looks
    marker.unlink()
    with pytest.raises(WeightsError, match="a Lambda layer, which is code") as error:
        load_base(path)
    one_line(error)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_inside_of_another_layer_is_found(tmp_path: Path, suffix: str) -> None:
    inner = keras.Sequential([keras.Input((13,)), layers.Lambda(lambda x: x, output_shape=(13,)), layers.Dense(4)])
    inputs = keras.Input((None, 13))
    found = layers.GlobalAveragePooling1D()(layers.TimeDistributed(inner)(inputs))
    path = saved(keras.Model(inputs, layers.Dense(3)(found)), tmp_path / f"base{suffix}")
    with pytest.raises(WeightsError, match="a Lambda layer"):
        load_base(path)


class Double(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return 2 * x


@keras.saving.register_keras_serializable("somebody")
class Triple(Double):
    pass


def double(x: Any) -> Any:
    return 2 * x


def _with(layer: Any) -> Any:
    return keras.Sequential([keras.Input((13,)), layer, *over_mean().layers])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(lambda: Double(), id="class"),
        pytest.param(lambda: Triple(), id="registered class"),
        pytest.param(lambda: layers.Dense(13, activation=double), id="function"),
        pytest.param(lambda: layers.Discretization(bin_boundaries=[0.0]), id="built-in that is not taken"),
    ],
)
def test_what_is_not_built_in_is_refused(tmp_path: Path, suffix: str, layer: Callable[[], Any]) -> None:
    path = saved(_with(layer()), tmp_path / f"base{suffix}")
    with pytest.raises(WeightsError) as error:
        load_base(path)
    one_line(error)


def _rewritten(path: Path, old: bytes, new: bytes) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert old in members["config.json"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data.replace(old, new) if name == "config.json" else data)
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"module": "keras.layers"', b'"module": "keras.utils"', "of the module 'keras.utils'"),
        (b'"class_name": "Dense"', b'"class_name": "TFSMLayer"', "'TFSMLayer'"),
        (b'"class_name": "Dense"', b'"class_name": ["Dense"]', "custom"),
        (b'"registered_name": null', b'"registered_name": "a>Dense"', "custom name"),
    ],
)
def test_a_description_that_points_elsewhere_is_refused(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = _rewritten(saved(over_mean(), tmp_path / "base.keras"), old, new)
    with pytest.raises(WeightsError, match="nothing of it was run") as error:
        read_base_file(path)
    assert words in one_line(error)


# -- files that are no model -------------------------------------------------------------------------------------------


def _h5(**arrays: Any) -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    return data.getvalue()


def _endless() -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file["a"] = file["/"]
    return data.getvalue()


def _bomb() -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file.create_dataset("a", (1 << 28,), np.float32, chunks=(1 << 16,), compression="gzip")
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("none.keras", None, "no such file"),
        ("base.onnx", b"", "FILE.keras or FILE.h5"),
        ("base", b"", "FILE.keras or FILE.h5"),
        ("empty.keras", b"", "a zip archive"),
        ("empty.h5", b"", "a whole Keras model"),
        ("text.keras", b"layers" * 100, "a zip archive"),
        ("text.h5", b"layers" * 100, "a whole Keras model"),
        ("weights.h5", _h5(a=np.zeros(3)), "weights only"),
        ("outside.h5", _h5(a=h5py.ExternalLink("/etc/hostname", "/")), "links to others"),
        ("linked.h5", _h5(a=h5py.SoftLink("/b")), "links to others"),
        ("words.h5", _h5(a=["x", "y"]), "arrays of numbers"),
        ("endless.h5", _endless(), "too many"),
        ("bomb.h5", _bomb(), "bytes in all"),
    ],
)
def test_what_is_no_model_is_said_in_one_line(tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(WeightsError) as error:
        load_base(path)
    assert words in one_line(error)
    assert ";" in str(error.value)  # and what to do


def test_a_folder_and_a_part_of_a_file_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "folder.keras").mkdir()
    for suffix in (".keras", ".h5"):
        whole = saved(over_mean(), tmp_path / f"base{suffix}").read_bytes()
        (tmp_path / f"part{suffix}").write_bytes(whole[: len(whole) // 2])
    for name in ("folder.keras", "part.keras", "part.h5"):
        with pytest.raises(WeightsError) as error:
            load_base(tmp_path / name)
        one_line(error)


def test_a_file_has_a_most_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(over_mean(), tmp_path / "base.keras")
    monkeypatch.setattr("model.base_file.MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(WeightsError, match="at most") as error:
        load_base(path)
    one_line(error)


def _padded() -> Any:
    return keras.Sequential([keras.Input((None, 13)), layers.ZeroPadding1D(1), *convolution().layers])


def _padded_inside() -> Any:
    return keras.Sequential([keras.Input((None, 13)), layers.Conv1D(13, 1), _padded(), layers.Dense(4)])


@pytest.mark.parametrize(
    ("make", "old", "new", "words"),
    [
        (convolution, b'"kernel_size": [3]', b'"kernel_size": [2000000]', "can load"),
        (convolution, b'"input_shape": [null, null, 13]', b'"input_shape": [null, null, 9000000]', "can load"),
        (_padded, b'"padding": [1, 1]', b'"padding": [1, 90000000]', "layers of at most"),
        (_padded_inside, b'"padding": [1, 1]', b'"padding": [1, 90000000]', "layers of at most"),
    ],
)
def test_a_few_words_ask_for_no_memory(
    tmp_path: Path, make: Callable[[], Any], old: bytes, new: bytes, words: str
) -> None:
    # Of gigabytes of parameters or values nothing is made: a file of some kilobytes does not fill them.
    path = _rewritten(saved(make(), tmp_path / "base.keras"), old, new)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError) as error:
        load_base(path)
    assert words in one_line(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    with keras.StatelessScope():  # at its end Keras initialises what was put off
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@functools.cache
def _members() -> dict[str, bytes]:
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(saved(over_mean(), Path(folder) / "x.keras")) as archive,
    ):
        return {name: archive.read(name) for name in archive.namelist()}


@given(st.data())
@settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate])  # to shrink takes minutes
def test_anything_may_stand_anywhere_in_a_description(data: st.DataObject) -> None:
    description = {"": json.loads(_members()["config.json"])}
    put_anything(data, description)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (_members() | {"config.json": json.dumps(description[""]).encode()}).items():
                archive.writestr(name, content)
        refused_or(lambda: load_base(path))


# -- models that are no classifiers over MFCC --------------------------------------------------------------------------


def _net(shape: tuple[int | None, ...], *inside: Any) -> Any:
    return keras.Sequential([keras.Input(shape), *inside])


def _two_inputs() -> Any:
    pair = [keras.Input((13,)), keras.Input((13,))]
    return keras.Model(pair, layers.Dense(3)(layers.Dense(4)(layers.Concatenate()(pair))))


def _two_outputs() -> Any:
    inputs = keras.Input((13,))
    found = layers.Dense(4)(inputs)
    return keras.Model(inputs, [layers.Dense(3)(found), layers.Dense(3)(found)])


def _remembers() -> Any:
    inputs = keras.Input((30, 13), batch_size=1)
    return keras.Model(inputs, layers.Dense(3)(layers.LSTM(4, stateful=True)(inputs)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _net((200,), layers.Dense(4), layers.Dense(3)), "n_mfcc at most 128"),
        (lambda: _net((13, 30, 1), layers.Flatten(), layers.Dense(4), layers.Dense(3)), "one input of MFCC"),
        (lambda: _net((5_000, 13), layers.GlobalAveragePooling1D(), layers.Dense(3)), "one input of MFCC"),
        (_two_inputs, "one input of MFCC"),
        (_two_outputs, "one output"),
        (lambda: _net((None, 13), layers.Dense(4), layers.Dense(3)), "one output (batch, classes)"),
        (lambda: _net((13,), layers.Dense(3, "softmax")), "at least two layers"),
        (lambda: _net((13,), layers.Dense(3), layers.Softmax()), "at least two layers"),
        (lambda: _net((13,), layers.Dense(4), layers.Dense(3, "relu")), "got relu"),
        (lambda: _net((13,), layers.Dense(4), layers.UnitNormalization()), "got UnitNormalization"),
        (lambda: _net((None, 13), layers.Conv1D(4, 80), layers.GlobalMaxPooling1D(), layers.Dense(3)), "can load"),
        (_remembers, "stateful"),
    ],
)
def test_what_is_no_classifier_over_mfcc_is_said_in_one_line(
    tmp_path: Path, make: Callable[[], Any], words: str
) -> None:
    with pytest.raises(WeightsError) as error:
        loaded(make(), tmp_path)
    assert words in one_line(error)
    assert "base.keras" in str(error.value)


# -- models that are taken ---------------------------------------------------------------------------------------------

TAKEN = [
    (over_mean, (13,), 32),
    (lambda: over_mean(40), (40,), 32),
    (convolution, (WINDOW_ROWS, 13), 24),
    (lambda: convolution(100), (100, 13), 24),
    (recurrent, (WINDOW_ROWS, 20), 6),
    (lambda: recurrent(44), (44, 20), 6),
    (both_ways, (30, 13), 8),
    (constant, (13,), 4),
]


def _real(shape: tuple[int, ...], n: int = 5) -> np.ndarray:
    """Inputs from somebody's speech."""
    (rows,) = Mfcc(features(shape[-1]), mel()).push(Block(0, reading("Rob")))
    at = np.linspace(0, len(rows.mfcc) - WINDOW_ROWS, n).astype(int)
    windows = [rows.mfcc[i : i + WINDOW_ROWS] for i in at]
    if len(shape) == 1:
        return np.stack([window.mean(axis=0) for window in windows])
    return np.stack([np.resize(window, shape) for window in windows])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(("make", "shape", "size"), TAKEN)
def test_the_last_layer_is_taken_off_and_nothing_else(
    tmp_path: Path, suffix: str, make: Callable[[], Any], shape: tuple[int, ...], size: int
) -> None:
    if make is both_ways and suffix == ".h5":
        pytest.skip("Keras cannot load its own HDF5 files of functional models with masks")
    model = make()
    base = load_base(saved(model, tmp_path / f"base{suffix}"))
    assert (base.shape, base.size) == (shape, size)
    last = [layer for layer in model.layers if isinstance(layer, layers.Dense)][-1]
    inputs = _real(shape)
    logits = np.asarray(base.body(inputs, training=False)) @ last.kernel.numpy() + last.bias.numpy()
    np.testing.assert_allclose(last.activation(logits), keras.Model(model.inputs[0], last.output)(inputs), atol=1e-4)


@pytest.mark.parametrize(("make", "shape", "size"), [TAKEN[i] for i in (0, 2, 3, 4, 5, 6)])
def test_what_is_converted_says_what_keras_says(
    tmp_path: Path, make: Callable[[], Any], shape: tuple[int, ...], size: int
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    base, inputs = loaded(make(), tmp_path), _real(shape)
    rng = np.random.default_rng(0)
    kernel, bias = rng.standard_normal((size, 4)).astype(np.float32), rng.standard_normal(4).astype(np.float32)
    run = Interpreter(model_content=convert(base, kernel, bias, inputs)).get_signature_runner()
    for window in inputs:
        logits = np.asarray(base.body(window[None], training=False))[0] @ kernel + bias
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        (said,) = run(mfcc=window[None]).values()
        np.testing.assert_allclose(said[0], expected, atol=1e-3)


def test_what_cannot_be_converted_or_says_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = keras.Sequential([keras.Input((None, 8)), layers.GRU(4)])  # of an unknown length, out of reach
    inputs = keras.Input((None, 13))
    nested = loaded(keras.Model(inputs, layers.Dense(3)(inner(layers.Conv1D(8, 3)(inputs)))), tmp_path)
    layer = np.ones((4, 3), np.float32), np.zeros(3, np.float32)
    with pytest.raises(WeightsError, match="plainer layers") as error:
        convert(nested, *layer, _real(nested.shape))
    one_line(error)
    monkeypatch.setattr("model.base_convert.TOLERANCE", -1.0)
    with pytest.raises(WeightsError, match="differs by") as error:
        convert(loaded(constant(), tmp_path), *layer, _real((13,)))
    one_line(error)


def test_the_features_are_those_of_the_tutorials_but_for_what_cannot_be_streamed() -> None:
    import librosa

    sound = reading("Rob")[:40_000]
    (rows,) = Mfcc(features(13), mel()).push(Block(0, sound))
    power = librosa.feature.melspectrogram(y=sound, sr=16_000, n_fft=2_048, hop_length=512, center=False)
    expected = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=13).T
    np.testing.assert_allclose(rows.mfcc, expected, atol=1e-2, rtol=1e-4)
