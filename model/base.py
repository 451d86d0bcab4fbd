"""A base model of the user's: a Keras classifier over MFCC, whose last layer makes room for another one.

What it is given are MFCC as `librosa.feature.mfcc` computes them unless told otherwise (2,048 samples every 512, 128
bands up to half the rate), at 16 kHz, `center=False`, `top_db=None`: rows `(frames, n_mfcc)`, or their mean over time
`(n_mfcc,)`. Models that were trained at another rate or with another hop are taken as well; they hear less well what
they were not trained on, and fine-tuning says so.
"""

import math
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from model.archive import DAMAGED
from model.base_file import read_base_file
from model.window_head import N_MELS, WINDOW_ROWS
from stream.errors import WeightsError
from stream.quiet import quiet_stderr
from stream.text import one_line, safe_text

__all__ = ["Base", "load_base"]

MAX_VALUES = 1 << 20  # of what a layer gives: 4 MiB, ten times a second
MAX_FRAMES = 1_000  # of a fixed input: what is missing is said again, and that is half a minute
SAYS = ("softmax", "sigmoid", "linear")  # what a last layer may end in

# What Keras raises, one way or another, for a file that does not hang together.
_UNUSABLE = (*DAMAGED, AttributeError, AssertionError, ArithmeticError)


@dataclass(frozen=True, eq=False, slots=True)
class Base:
    """A base model without its last layer."""

    name: str  # of its file, safe to show
    body: Any  # Keras model: (batch, *its own shape) -> (batch, size)
    shape: tuple[
        int, ...
    ]  # of what it is given: (n_mfcc,), or (frames, n_mfcc), `WINDOW_ROWS` where any number will do
    size: int  # values that its last layer was given


def load_base(path: Path) -> Base:
    """Load a Keras file of built-in layers, and take its last layer off.

    Args:
        path: a whole model, `.keras` or `.h5`, with one input and one output; see `model.base_file` for what it may
            be made of.

    Raises:
        WeightsError: it cannot be read or is refused, or it is no classifier over MFCC.
    """
    data = read_base_file(path)  # and nothing but what was looked at is loaded
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported, which is here
    name = safe_text(path.name)
    with quiet_stderr():
        import keras
        import tensorflow as tf

        with TemporaryDirectory(prefix="livespeaker-base-") as folder, warnings.catch_warnings(action="ignore"):
            copy = Path(folder) / f"base{path.suffix}"
            copy.write_bytes(data)
            try:
                # In a thread of its own, with which all that Keras means to initialise later is gone.
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(_check_size, copy, name).result()
                base = _without_last(keras.models.load_model(copy, compile=False, safe_mode=True), name)
                base.body(np.zeros((1, *base.shape), np.float32))  # can be too short for what its layers span
                return base
            except (*_UNUSABLE, tf.errors.OpError) as error:
                reason = safe_text(one_line(error))[:200]
                raise WeightsError(
                    f"expected a model that Keras {keras.__version__} can load, got {name}: {reason}; load it where it "
                    "was made and save it again as .keras"
                ) from error


def _check_size(copy: Path, name: str) -> None:
    # A few words in a description can ask for more memory than there is.
    import keras

    with keras.StatelessScope(initialize_variables=False):  # here layers have shapes and take no memory
        model = keras.models.load_model(copy, compile=False, safe_mode=True)
        if (most := _most_values(model, (1, *_input_shape(model, name)))) > MAX_VALUES:
            raise _other(name, f"layers of at most {MAX_VALUES:,} values", f"{most:,}", "give a smaller model")


def _most_values(model: Any, shape: tuple[int, ...]) -> int:
    # What a layer gives at most, for one input of `shape`: a padding, say, is a word that can ask for any memory.
    import keras

    given = keras.models.clone_model(model, input_tensors=keras.Input(batch_shape=shape))
    most: int = max(math.prod(output.shape) for layer in given.layers for output in keras.tree.flatten(layer.output))
    inside = [
        _most_values(layer, tuple(layer._inbound_nodes[-1].input_tensors[0].shape))
        for layer in given.layers
        if isinstance(layer, keras.Model)
    ]
    return max([most, *inside])


def _without_last(model: Any, name: str) -> Base:
    import keras

    shape = _input_shape(model, name)
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        given = ", ".join(str(output.shape) for output in model.outputs)
        raise _other(name, "one output (batch, classes)", given, "give a model that classifies a whole window")
    last = _maker(model.outputs[0])
    if isinstance(last, keras.layers.Softmax | keras.layers.Activation):
        last = _maker(last.input)
    if not isinstance(last, keras.layers.Dense):
        raise _other(name, "a Dense layer at the end", type(last).__name__, "give a model that ends in one")
    if (ends := last.activation.__name__) not in SAYS:
        raise _other(name, "a last layer that ends in softmax, sigmoid or nothing", ends, "give a classifier")
    if isinstance(_maker(last.input), keras.layers.InputLayer):
        raise _other(
            name, "at least two layers, so that something stays", "a single one", "give a model that learned something"
        )
    body = keras.Model(model.inputs[0], last.input)
    body.trainable = False
    return Base(name, body, shape, int(last.input.shape[-1]))


def _maker(tensor: Any) -> Any:
    # The layer that a symbolic tensor comes from.
    return tensor._keras_history.operation


def _input_shape(model: Any, name: str) -> tuple[int, ...]:
    wanted = f"one input of MFCC, (None, frames, n_mfcc) or their mean (None, n_mfcc), n_mfcc at most {N_MELS}"
    given = ", ".join(str(tuple(tensor.shape)) for tensor in model.inputs)
    if len(model.inputs) == 1 and model.inputs[0].shape[0] is None:
        *frames, n_mfcc = model.inputs[0].shape[1:] or [None]
        if n_mfcc is not None and 0 < n_mfcc <= N_MELS and len(frames) <= 1:
            frames = [WINDOW_ROWS if n is None else n for n in frames]
            if all(0 < n <= MAX_FRAMES for n in frames):
                return (*frames, n_mfcc)
    raise _other(name, wanted, given, "give a model with such an input")


def _other(name: str, wanted: str, got: str, then: str) -> WeightsError:
    return WeightsError(f"expected {wanted}, got {safe_text(got)[:200] or 'none'} in {name}; {then}")
