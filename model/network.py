"""The speaker encoder: a time-delay network whose every layer can be carried from hop to hop.

Written in backend-neutral Keras 3 and built twice from one description: `build_encoder` sees a whole
clip, with zeros to the left of it; `build_step` sees one hop, with the layers' left context as inputs
and outputs. The two share weights by layer name and agree to rounding.

    frames (10 ms) -> normalise -> conv, stride 2 (20 ms) -> residual dilated blocks -> 1x1 conv
                   -> mean and deviation over time, weighted by speech -> embedding

After x-vectors (Snyder et al., 2018) with the residual blocks of later TDNNs. Nothing looks at the
whole utterance but the pooling, and that is three sums.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

__all__ = ["NetworkConfig", "build_encoder", "build_step", "fused_weights", "load_weights"]

# Added to a variance before its root: the deviation of a window with one step must have a gradient.
VARIANCE_FLOOR = 1e-4
# Steps of speech below which a window holds none: its embedding is not worth having, but is no NaN either.
WEIGHT_FLOOR = 1e-3


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The shape of the encoder."""

    n_mfcc: int = 60  # input coefficients
    channels: int = 320  # width of the convolutions
    kernel: int = 5  # frames that the first convolution sees
    stride: int = 2  # frames per step of everything after it
    dilations: tuple[int, ...] = (2, 3, 4)  # one residual block each, in steps
    pooled: int = 640  # channels that are pooled
    embedding: int = 192  # values of an embedding
    hop_frames: int = 10  # frames of one live hop; a multiple of `stride`


# Gives a layer its left context: `context(name, x, n)` puts n rows before x.
_Context = Callable[[str, Any, int], Any]


def _frame_layers(config: NetworkConfig, mfcc: Any, context: _Context, fused: bool) -> Any:
    """The layers that work step by step: (B, T, n_mfcc) -> (B, T / stride, pooled)."""

    def conv(name: str, x: Any, channels: int, kernel: int, **kwargs: int) -> Any:
        x = layers.Conv1D(channels, kernel, use_bias=fused, name=f"{name}_conv", **kwargs)(x)
        return x if fused else layers.BatchNormalization(name=f"{name}_norm")(x)

    # Not fused into the first convolution: the zeros to the left of a clip stand for a mean row.
    x = layers.BatchNormalization(center=False, scale=False, name="mfcc_norm")(mfcc)
    x = context("stem", x, config.kernel - config.stride)
    x = layers.ReLU()(conv("stem", x, config.channels, config.kernel, strides=config.stride))
    for i, dilation in enumerate(config.dilations):
        y = context(f"block{i}", x, 2 * dilation)
        y = layers.ReLU()(conv(f"block{i}_wide", y, config.channels, 3, dilation_rate=dilation))
        x = layers.ReLU()(layers.Add()([x, conv(f"block{i}_mix", y, config.channels, 1)]))
    return layers.ReLU()(conv("pooled", x, config.pooled, 1))


def _weighted_sums(h: Any, speech: Any, stride: int) -> tuple[Any, Any, Any]:
    # A step's weight is the mean speech probability of its frames.
    weight = layers.AveragePooling1D(stride)(speech[..., None])
    return ops.sum(weight, axis=1), ops.sum(weight * h, axis=1), ops.sum(weight * h * h, axis=1)


def _segment_layers(config: NetworkConfig, mean: Any, deviation: Any, fused: bool) -> Any:
    """What follows the pooling: mean and deviation (B, pooled) each -> embedding (B, embedding), unit length."""
    x = layers.Concatenate()([mean, deviation])
    if not fused:
        x = layers.BatchNormalization(center=False, scale=False, name="segment_in_norm")(x)
    x = layers.Dense(config.embedding, use_bias=fused, name="segment_dense")(x)
    if not fused:
        x = layers.BatchNormalization(name="segment_out_norm")(x)
    return layers.UnitNormalization(axis=-1, name="embedding")(x)


def build_encoder(config: NetworkConfig, *, fused: bool) -> keras.Model:
    """The whole clip at once: [mfcc (B, T, n_mfcc), speech (B, T)] -> embedding (B, embedding).

    T is any multiple of `stride`. This is the offline meaning that the live encoder must equal.

    Args:
        config: the shape of the network.
        fused: False for training, with batch normalisation; True for the shipped network, whose
            convolutions have taken the normalisation into their kernels and biases.
    """
    mfcc = keras.Input((None, config.n_mfcc), name="mfcc")
    speech = keras.Input((None,), name="speech")
    h = _frame_layers(config, mfcc, lambda _name, x, n: layers.ZeroPadding1D((n, 0))(x), fused)
    weight, first, second = _weighted_sums(h, speech, config.stride)
    weight = ops.maximum(weight, WEIGHT_FLOOR)
    mean = first / weight
    deviation = ops.sqrt(ops.maximum(second / weight - mean * mean, 0.0) + VARIANCE_FLOOR)
    return keras.Model([mfcc, speech], _segment_layers(config, mean, deviation, fused), name="encoder")


def build_step(config: NetworkConfig) -> keras.Model:
    """One hop of a stream, fused.

    Inputs: mfcc (1, hop_frames, n_mfcc), speech (1, hop_frames), and one `state_*` (1, n, channels) per
    layer with left context, zeros at the start of a stream. Outputs, by name: `weight` (1, 1), `first`
    (1, pooled), `second` (1, pooled), the sums over this hop that the pooling needs, and the next states.
    """
    mfcc = keras.Input((config.hop_frames, config.n_mfcc), batch_size=1, name="mfcc")
    speech = keras.Input((config.hop_frames,), batch_size=1, name="speech")
    states: dict[str, Any] = {}
    outputs: dict[str, Any] = {}

    def carried(name: str, x: Any, n: int) -> Any:
        key = f"state_{name}"
        states[key] = keras.Input((n, x.shape[-1]), batch_size=1, name=key)
        x = layers.Concatenate(axis=1)([states[key], x])
        outputs[key] = x[:, -n:, :]
        return x

    h = _frame_layers(config, mfcc, carried, fused=True)
    outputs["weight"], outputs["first"], outputs["second"] = _weighted_sums(h, speech, config.stride)
    return keras.Model({"mfcc": mfcc, "speech": speech, **states}, outputs, name="step")


def fused_weights(encoder: keras.Model) -> dict[str, NDArray[np.floating]]:
    """The weights of a trained encoder with its normalisations taken into the kernels.

    All is rounded to 16 bits, the way it is shipped. `mfcc_norm` is kept in 32, as the mean and the variance
    whose factor and offset are numbers of 16 bits: those two are what the converter rounds.

    Args:
        encoder: a `build_encoder(config, fused=False)`.

    Returns:
        `<layer>/<weight>` to array, as `load_weights` takes them.
    """
    named = {layer.name: layer for layer in encoder.layers}
    norm = named["mfcc_norm"]
    scale, shift = (values.astype(np.float16).astype(np.float64) for values in _affine(norm))
    weights: dict[str, NDArray[np.floating]] = {
        "mfcc_norm/mean": (-shift / scale).astype(np.float32),
        "mfcc_norm/variance": (1.0 / scale**2 - norm.epsilon).astype(np.float32),
    }
    for name, layer in named.items():
        if name.endswith("_conv"):
            factor, offset = _affine(named[name.removesuffix("_conv") + "_norm"])
            weights[f"{name}/kernel"] = _array(layer.kernel, np.float64) * factor
            weights[f"{name}/bias"] = offset
    before, after = _affine(named["segment_in_norm"]), _affine(named["segment_out_norm"])
    kernel = _array(named["segment_dense"].kernel, np.float64)
    weights["segment_dense/bias"] = (before[1] @ kernel) * after[0] + after[1]
    weights["segment_dense/kernel"] = before[0][:, None] * kernel * after[0]
    return {key: v if key.startswith("mfcc_norm") else v.astype(np.float16) for key, v in weights.items()}


def load_weights(model: keras.Model, weights: Mapping[str, NDArray[np.floating]]) -> None:
    """Set every layer of a fused model (encoder or step) from `<layer>/<weight>` arrays."""
    for layer in model.layers:
        if layer.name == "mfcc_norm":
            layer.set_weights([weights["mfcc_norm/mean"], weights["mfcc_norm/variance"]])
        elif layer.weights:
            layer.set_weights([weights[f"{layer.name}/{part}"].astype(np.float32) for part in ("kernel", "bias")])


def _array(variable: Any, dtype: type) -> NDArray[Any]:
    return np.asarray(ops.convert_to_numpy(variable), dtype)


def _affine(norm: keras.layers.BatchNormalization) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # What batch normalisation does once trained: x * factor + offset.
    factor = 1.0 / np.sqrt(_array(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.scale:
        factor = factor * _array(norm.gamma, np.float64)
    offset = -_array(norm.moving_mean, np.float64) * factor
    return factor, offset + _array(norm.beta, np.float64) if norm.center else offset
