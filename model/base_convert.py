"""A base model with a new last layer, converted to LiteRT for the live recognizer."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.archive import DAMAGED
from model.base import Base
from stream.errors import WeightsError
from stream.text import one_line, safe_text

__all__ = ["TOLERANCE", "convert"]

Floats = NDArray[np.float32]

TOLERANCE = 1e-3
"""Of a probability, between what was converted and what Keras says."""

MAX_MODEL_BYTES = 48 << 20  # a profile reads no more; a base file has at most 32 MiB
MOST_ASKED = 50  # windows that both are asked about


def convert(base: Base, kernel: Floats, bias: Floats, inputs: Floats) -> bytes:
    """LiteRT of the base model and a new softmax, for one window at a time.

    Its input has a fixed shape, and loops over time are unrolled: slices of an unknown length and loops would need
    TensorFlow's own operations, which LiteRT does not bring.

    Args:
        base: without its last layer.
        kernel: (size, n + 1) of the new last layer.
        bias: (n + 1,).
        inputs: (m, *shape) real windows; both are asked about some of them.

    Raises:
        WeightsError: it cannot be converted, or says something else than in Keras.
    """
    import tensorflow as tf

    some = inputs[:: max(1, len(inputs) // MOST_ASKED)]
    try:
        said = np.asarray(base.body(some, training=False)) @ kernel + bias
        expected = np.exp(said - said.max(axis=1, keepdims=True))
        expected /= expected.sum(axis=1, keepdims=True)
        data = _converted(base, kernel, bias)
        found = _ask(data, some)
    except (*DAMAGED, AttributeError, AssertionError, tf.errors.OpError) as error:
        raise WeightsError(
            f"expected a base model that can be converted to LiteRT, got {base.name}: "
            f"{safe_text(one_line(error))[:200]}; nothing was changed: build it of plainer layers"
        ) from error
    if len(data) > MAX_MODEL_BYTES:
        raise WeightsError(
            f"expected a converted model of at most {MAX_MODEL_BYTES >> 20} MiB, {base.name} has "
            f"{len(data) / (1 << 20):.0f}; nothing was changed: give a smaller one"
        )
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise WeightsError(
            f"expected the converted {base.name} to say what Keras says, it differs by {difference:.2g}; nothing was "
            "changed: build it of plainer layers"
        )
    return data


def _converted(base: Base, kernel: Floats, bias: Floats) -> bytes:
    import keras

    unrolled: list[tuple[Any, Any]] = []  # loops over time, and their copies

    def own(layer: Any) -> Any:
        # Everything else is used as it is: some layers have a state beside their weights.
        if not any(isinstance(part, keras.layers.RNN) for part in _parts(layer)):
            return layer
        copy = layer.__class__.from_config(layer.get_config())
        for part in _parts(copy):
            part.unroll = True
        unrolled.append((layer, copy))
        return copy

    window = keras.Input(base.shape, batch_size=1, name="mfcc")
    body = keras.models.clone_model(base.body, input_tensors=window, clone_function=own)
    for layer, copy in unrolled:
        copy.set_weights(layer.get_weights())
    last = keras.layers.Dense(len(bias), "softmax", name="people")
    model = keras.Model(body.input, last(body.output))
    last.set_weights([kernel, bias])
    with TemporaryDirectory(prefix="livespeaker-base-") as folder:
        file = Path(folder) / "model.tflite"
        model.export(file, format="litert", verbose=False)
        return file.read_bytes()


def _parts(layer: Any) -> tuple[Any, ...]:
    # What loops over time in a layer that goes both ways, else the layer.
    both = getattr(layer, "forward_layer", None), getattr(layer, "backward_layer", None)
    return both if all(both) else (layer,)


def _ask(data: bytes, inputs: Floats) -> Floats:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    (output,) = run.get_output_details()
    return np.concatenate([run(mfcc=window[None])[output] for window in inputs])
