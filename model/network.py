"""The speaker encoder: a time-delay network whose every layer can be carried from hop to hop.

Written in backend-neutral Keras 3 and built twice from one description: `build_encoder` sees a whole
clip, with zeros to the left of it; `build_step` sees one hop, with the layers' left context as inputs
and outputs. The two share weights by layer name and agree to rounding.

    frames (10 ms) -> normalise -> conv, stride 2 (20 ms) -> residual dilated blocks -> 1x1 conv
                   -> mean and deviation over time, weighted by speech -> embedding

After x-vectors (Snyder et al., 2018) with the residual blocks of later TDNNs. Nothing looks at the
whole utterance but the pooling, and that is three sums.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

__all__ = ["NetworkConfig", "build_encoder", "build_segment", "build_step"]

# Added to a variance before its root: the deviation of a window with one frame must have a gradient.
VARIANCE_FLOOR = 1e-4


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


def _frame_layers(config: NetworkConfig, mfcc: Any, context: _Context) -> Any:
    """The layers that work step by step: (B, T, n_mfcc) -> (B, T / stride, pooled)."""

    def conv_norm(name: str, x: Any, channels: int, kernel: int, **kwargs: int) -> Any:
        x = layers.Conv1D(channels, kernel, use_bias=False, name=f"{name}_conv", **kwargs)(x)
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    x = layers.BatchNormalization(center=False, scale=False, name="mfcc_norm")(mfcc)
    x = context("stem", x, config.kernel - config.stride)
    x = layers.ReLU()(conv_norm("stem", x, config.channels, config.kernel, strides=config.stride))
    for i, dilation in enumerate(config.dilations):
        name = f"block{i}"
        y = context(name, x, 2 * dilation)
        y = layers.ReLU()(conv_norm(f"{name}_wide", y, config.channels, 3, dilation_rate=dilation))
        x = layers.ReLU()(layers.Add()([x, conv_norm(f"{name}_mix", y, config.channels, 1)]))
    return layers.ReLU()(conv_norm("pooled", x, config.pooled, 1))


def _weighted_sums(h: Any, speech: Any, stride: int) -> tuple[Any, Any, Any]:
    # A step's weight is the mean speech probability of its frames.
    weight = layers.AveragePooling1D(stride)(speech[..., None])
    return ops.sum(weight, axis=1), ops.sum(weight * h, axis=1), ops.sum(weight * h * h, axis=1)


def build_segment(config: NetworkConfig) -> keras.Model:
    """What follows the pooling: mean and deviation (B, pooled) each -> embedding (B, embedding), unit length."""
    mean = keras.Input((config.pooled,), name="mean")
    deviation = keras.Input((config.pooled,), name="deviation")
    x = layers.Concatenate()([mean, deviation])
    x = layers.BatchNormalization(center=False, scale=False, name="segment_in_norm")(x)
    x = layers.Dense(config.embedding, use_bias=False, name="segment_dense")(x)
    x = layers.BatchNormalization(name="segment_out_norm")(x)
    x = layers.UnitNormalization(axis=-1)(x)
    return keras.Model([mean, deviation], x, name="segment")


def build_encoder(config: NetworkConfig) -> keras.Model:
    """The whole clip at once: [mfcc (B, T, n_mfcc), speech (B, T)] -> embedding (B, embedding).

    T is any multiple of `stride`. This is the offline meaning that the live encoder must equal.
    """
    mfcc = keras.Input((None, config.n_mfcc), name="mfcc")
    speech = keras.Input((None,), name="speech")
    h = _frame_layers(config, mfcc, lambda _name, x, n: layers.ZeroPadding1D((n, 0))(x))
    weight, first, second = _weighted_sums(h, speech, config.stride)
    weight = ops.maximum(weight, 1e-3)  # a clip without speech has no embedding worth having, but no NaN either
    mean = first / weight
    deviation = ops.sqrt(ops.maximum(second / weight - mean * mean, 0.0) + VARIANCE_FLOOR)
    return keras.Model([mfcc, speech], build_segment(config)([mean, deviation]), name="encoder")


def build_step(config: NetworkConfig) -> keras.Model:
    """One hop of a stream.

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

    h = _frame_layers(config, mfcc, carried)
    outputs["weight"], outputs["first"], outputs["second"] = _weighted_sums(h, speech, config.stride)
    return keras.Model({"mfcc": mfcc, "speech": speech, **states}, outputs, name="step")
