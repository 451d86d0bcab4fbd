"""A Keras file that anybody may have made: what is in it is looked at before Keras reads it.

A file of Keras can hold code: a `Lambda` layer is marshalled Python, which old formats run when they are loaded, and a
custom class is looked up among whatever was imported. So the description of the model is read as JSON first, and every
object in it must be one of those below, by its own name and from Keras' own modules. The arrays are looked at as well:
none of them may lie in another file, or unpack to more than a file may have.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.archive import DAMAGED, open_archive, read_member
from stream.errors import WeightsError
from stream.text import one_line, safe_text, system_reason

__all__ = ["MAX_BYTES", "SUFFIXES", "read_base_file"]

MAX_BYTES = 32 << 20
"""Of a file, packed and unpacked: eight million parameters, three times the shipped network. More would not run ten
times a second on one core, and the file is in memory several times while it is converted."""

SUFFIXES = (".keras", ".h5")

_MAX_CONFIG_BYTES = 4 << 20  # of the description: a layer takes 1 to 2 kB
_MAX_ARRAYS = 10_000  # groups and arrays: a layer has two to twelve
_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}

_LAYERS = """
Activation Add Average AveragePooling1D AveragePooling2D BatchNormalization Bidirectional Concatenate Conv1D Conv2D
Cropping1D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU Flatten GaussianDropout GaussianNoise
GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D GRU GRUCell GroupNormalization
InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D Maximum Minimum
MultiHeadAttention Multiply Normalization PReLU Permute RNN ReLU Rescaling Reshape SeparableConv1D SeparableConv2D
SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D StackedRNNCells Subtract TimeDistributed
UnitNormalization ZeroPadding1D ZeroPadding2D
"""
_MODELS = "Functional Model Sequential"
_OPERATIONS = "Any NotEqual"  # what masking leaves in a functional model
_PARTS = """
Constant DTypePolicy GlorotNormal GlorotUniform HeNormal HeUniform Identity L1 L1L2 L2 LecunNormal LecunUniform MaxNorm
MinMaxNorm NonNeg Ones Orthogonal RandomNormal RandomUniform TruncatedNormal UnitNorm VarianceScaling Zeros
"""
_VALUES = "__keras_tensor__ __tuple__ TensorShape"
_KNOWN = frozenset(f"{_LAYERS} {_MODELS} {_OPERATIONS} {_PARTS} {_VALUES}".split())
_MODULES = frozenset(
    ["keras", "keras.src.models.functional", "keras.src.models.sequential", "keras.src.ops.numpy"]
    + [f"keras.{part}" for part in ("constraints", "initializers", "layers", "models", "regularizers")]
)


def read_base_file(path: Path) -> bytes:
    """The content of a Keras file of built-in layers; nothing in it has been run.

    Args:
        path: a whole model, `.keras` or `.h5`.

    Raises:
        WeightsError: there is no such file, it is larger than `MAX_BYTES`, damaged, no whole model, or holds a
            `Lambda`, a custom object or a layer that is not taken.
    """
    shown = safe_text(str(path))
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"expected a Keras model, FILE.keras or FILE.h5, got {shown}; save it as one of these")
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait
            raise OSError("it is not a plain file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"expected a Keras model, got {shown}: {system_reason(error)}; give another file") from error
    if len(data) > MAX_BYTES:
        raise WeightsError(
            f"expected a Keras model of at most {MAX_BYTES >> 20} MiB, got more in {shown}; give a smaller one, "
            "saved without its optimizer"
        )
    try:
        config = _of_keras(data) if path.suffix == ".keras" else _of_h5(data)
        found = next(_refused(config), None)
    except (*DAMAGED, AttributeError) as error:
        reason = safe_text(one_line(error))[:200]
        raise WeightsError(
            f"expected a whole Keras model in {shown}, got something else or a part of one ({reason}); "
            "write it with model.save"
        ) from error
    if found:
        raise WeightsError(
            f"expected built-in Keras layers in {shown}, got {found}; nothing of it was run: replace it by built-in "
            "layers and save the model again"
        )
    return data


def _of_keras(data: bytes) -> Any:
    archive = open_archive(io.BytesIO(data), most_members=len(_MEMBERS), most_bytes=MAX_BYTES)
    if set(archive.namelist()) != _MEMBERS:
        raise ValueError(f"wanted {', '.join(sorted(_MEMBERS))}, got other files")
    _check_arrays(read_member(archive, "model.weights.h5", MAX_BYTES))
    config = json.loads(read_member(archive, "config.json", _MAX_CONFIG_BYTES))
    config.pop("compile_config", None)  # Keras leaves it out as well, being told not to compile
    return config


def _of_h5(data: bytes) -> Any:
    import h5py

    _check_arrays(data)
    with h5py.File(io.BytesIO(data), "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise ValueError("it has weights only")
    if len(text) > _MAX_CONFIG_BYTES:
        raise ValueError("its description is too long")
    return json.loads(text)


def _check_arrays(data: bytes) -> None:
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        todo: list[Any] = [file]
        total = seen = 0
        while todo:
            group = todo.pop()
            for name in group:
                seen += 1  # a group may be in itself
                if seen > _MAX_ARRAYS or not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError("wanted arrays of its own, got links to others, or too many")
                item = group[name]
                if isinstance(item, h5py.Group):
                    todo.append(item)
                    continue
                if (
                    not isinstance(item, h5py.Dataset)
                    or item.external
                    or item.is_virtual
                    or item.dtype.kind not in "fiub"
                ):
                    raise ValueError("wanted arrays of numbers, got something else")
                total += item.size * item.dtype.itemsize
                if total > MAX_BYTES:
                    raise ValueError(f"wanted arrays of at most {MAX_BYTES} bytes in all, got more")


def _refused(config: Any) -> Iterator[str]:
    """What in a description is not taken."""
    todo = [config]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            todo += node.values()
            if node.get("stateful") is True:
                yield "a layer that is stateful: it remembers what was said before"
            if "class_name" not in node:
                continue
            name, module = node["class_name"], node.get("module")
            shown = repr(safe_text(str(name))[:60])
            if name == "Lambda" or name == "__lambda__":
                yield "a Lambda layer, which is code"
            elif not isinstance(name, str) or name not in _KNOWN:
                yield f"{shown}, which is custom or not taken"
            elif module is not None and module not in _MODULES:
                yield f"{shown} of the module {safe_text(str(module))[:60]!r}"
            elif node.get("registered_name") not in (None, name):
                yield f"{shown} under a custom name"
