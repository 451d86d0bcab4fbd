"""The speaker encoder: a time-delay network whose every layer can be carried from hop to hop.

Written in backend-neutral Keras 3 and built twice from one description: `build_encoder` sees a whole
clip, with zeros to the left of it; `build_step` sees one hop, with the layers' left context as inputs
and outputs. The two share weights by layer name and agree to rounding.

    frames (10 ms) -> normalise -> conv, stride 2 (20 ms) -> residual dilated blocks -> 1x1 conv of all of them
                   -> mean and deviation over time, weighted by speech and by gates -> embedding
                                                          the last block -> is it speech?

After x-vectors (Snyder et al., 2018) with the residual blocks and the aggregation of all of them of later TDNNs
(Desplanques et al., 2020). A gate per group of channels says how much a step tells of the voice; since it does
not look at other steps, the pooling stays a sum. Nothing else looks at the whole utterance. What is summed, and
what follows, is in 32 bits whatever the precision of the layers before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from model.weights import Weights

__all__ = [
    "NetworkConfig",
    "StepNorm",
    "build_encoder",
    "build_step",
    "fused_layout",
    "fused_weights",
    "load_encoder",
    "load_weights",
]

# Added to a variance before its root: the deviation of a window with one step must have a gradient.
VARIANCE_FLOOR = 1e-4
# Steps of speech below which a window holds none: its embedding is not worth having, but is no NaN either.
WEIGHT_FLOOR = 1e-3


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The shape of the encoder."""

    n_mfcc: int = 60  # input coefficients
    channels: int = 288  # width of the convolutions
    kernel: int = 5  # frames that the first convolution sees
    stride: int = 2  # frames per step of everything after it
    dilations: tuple[int, ...] = (2, 3, 4, 5)  # one residual block each, in steps
    pooled: int = 640  # channels that are pooled
    gates: int = 8  # groups of them, each with a weight of its own for every step; a divisor of `pooled`
    embedding: int = 192  # values of an embedding
    hop_frames: int = 10  # frames of one live hop; a multiple of `stride`


@keras.saving.register_keras_serializable("livespeaker")
class StepNorm(layers.Layer):  # type: ignore[misc] # Keras ships no types
    """Batch normalisation (Ioffe and Szegedy, 2015) of (B, T, channels), by the moments of every fourth step.

    The steps between are too alike to add to the moments, and the normalised values keep the precision of
    what comes in: Keras's own layer, in 32 bits over every step, takes most of the time of a training step
    on a processor that multiplies matrices in 16 bits. Once trained, the two are the same.
    """

    momentum = 0.99
    epsilon = 1e-3
    scale = center = True  # as Keras's layer says it has both

    def build(self, input_shape: Any) -> None:
        """Factor and offset, and the moments as they are on average."""
        shape = (input_shape[-1],)
        for name, start, learned in (
            ("gamma", "ones", True),
            ("beta", "zeros", True),
            ("moving_mean", "zeros", False),
            ("moving_variance", "ones", False),
        ):
            weight = self.add_weight(shape=shape, initializer=start, trainable=learned, autocast=False, name=name)
            setattr(self, name, weight)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """See the class."""
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            some = ops.cast(x[:, ::4], "float32")
            now = ops.mean(some, axis=(0, 1))
            spread = ops.mean(ops.square(some - now), axis=(0, 1))
            mean.assign(mean * self.momentum + now * (1 - self.momentum))
            variance.assign(variance * self.momentum + spread * (1 - self.momentum))
            mean, variance = now, spread
        factor = self.gamma * ops.rsqrt(variance + self.epsilon)
        offset = self.beta - mean * factor
        return x * ops.cast(factor, x.dtype) + ops.cast(offset, x.dtype)


# Gives a layer its left context: `context(x, n)` puts n rows before x.
_Context = Callable[[Any, int], Any]


def _frame_layers(config: NetworkConfig, mfcc: Any, context: _Context, fused: bool) -> tuple[Any, Any, Any]:
    """The layers that work step by step: (B, T, n_mfcc) -> channels (B, T / stride, pooled), gates, voiced (.., 1)."""

    def conv(name: str, x: Any, channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> Any:
        # One wide matrix product, which every backend and LiteRT are fastest at, where others would convolve.
        if kernel > 1:
            last = (kernel - 1) * dilation
            x = ops.concatenate([x[:, at : at - last or None : stride] for at in range(0, last + 1, dilation)], axis=-1)
        x = layers.Dense(channels, use_bias=fused, name=f"{name}_conv")(x)
        return x if fused else StepNorm(name=f"{name}_norm")(x)

    # Not fused into the first convolution: the zeros to the left of a clip stand for a mean row.
    x = layers.BatchNormalization(center=False, scale=False, name="mfcc_norm", dtype="float32")(mfcc)
    x = context(x, config.kernel - config.stride)
    x = layers.ReLU()(conv("stem", x, config.channels, config.kernel, stride=config.stride))
    every = []
    for i, dilation in enumerate(config.dilations):
        y = context(x, 2 * dilation)
        y = layers.ReLU()(conv(f"block{i}_wide", y, config.channels, 3, dilation=dilation))
        x = layers.ReLU(name=f"block{i}")(layers.Add()([x, conv(f"block{i}_mix", y, config.channels, 1)]))
        every.append(x)
    h = layers.ReLU()(conv("pooled", layers.Concatenate()(every) if len(every) > 1 else x, config.pooled, 1))
    # Begins at one half for every step.
    gate = layers.Dense(config.gates, "sigmoid", kernel_initializer="zeros", name="gate", dtype="float32")(x)
    return h, gate, layers.Dense(1, "sigmoid", name="voiced", dtype="float32")(x)


def _weighted_sums(config: NetworkConfig, h: Any, gate: Any, spoken: Any) -> tuple[Any, Any, Any, Any]:
    """Sums over the steps: speech (B, 1), weights (B, gates), weighted channels and their squares (B, pooled) each."""
    h, weight = ops.cast(h, "float32"), spoken * gate
    rows = ops.transpose(weight, (0, 2, 1))
    # Every weight times every channel, of which each group keeps its own: one product instead of one per group.
    own = np.repeat(np.eye(config.gates, dtype=np.float32), config.pooled // config.gates, axis=1)
    first, second = (ops.sum(ops.matmul(rows, x) * own, axis=1) for x in (h, h * h))
    return ops.sum(spoken, axis=1), ops.sum(weight, axis=1), first, second


def _of_steps(config: NetworkConfig, share: Any) -> Any:
    # (B, T) -> (B, T / stride, 1): a step has the mean of its frames.
    return layers.AveragePooling1D(config.stride, dtype="float32")(share[..., None])


def _segment_layers(config: NetworkConfig, mean: Any, deviation: Any, fused: bool) -> Any:
    """What follows the pooling: mean and deviation (B, pooled) each -> embedding (B, embedding), unit length."""
    x = layers.Concatenate(dtype="float32")([mean, deviation])
    if not fused:
        x = layers.BatchNormalization(center=False, scale=False, name="segment_in_norm", dtype="float32")(x)
    x = layers.Dense(config.embedding, use_bias=fused, name="segment_dense", dtype="float32")(x)
    if not fused:
        x = layers.BatchNormalization(name="segment_out_norm", dtype="float32")(x)
    return layers.UnitNormalization(axis=-1, name="embedding", dtype="float32")(x)


def build_encoder(config: NetworkConfig, *, fused: bool) -> keras.Model:
    """The whole clip: `mfcc` (B, T, n_mfcc) and `share` (B, T) in, `embedding` and `voiced` (B, T / stride, 1) out.

    T is any multiple of `stride`. `share` in [0, 1] says how much of each frame is pooled. In training, that is its
    probability of speech, as a teacher sees it; the fused network has learned to see it, and multiplies the two. This
    is the offline meaning that the live encoder must equal.

    Args:
        config: the shape of the network.
        fused: False for training, with batch normalisation; True for the shipped network, whose
            convolutions have taken the normalisation into their kernels and biases.
    """
    mfcc = keras.Input((None, config.n_mfcc), name="mfcc")
    share = keras.Input((None,), name="share")
    h, gate, voiced = _frame_layers(config, mfcc, lambda x, n: layers.ZeroPadding1D((n, 0))(x), fused)
    spoken = _of_steps(config, share) * (voiced if fused else 1.0)
    _, weight, first, second = _weighted_sums(config, h, gate, spoken)
    weight = ops.repeat(ops.maximum(weight, WEIGHT_FLOOR), config.pooled // config.gates, axis=1)
    mean = first / weight
    deviation = ops.sqrt(ops.maximum(second / weight - mean * mean, 0.0) + VARIANCE_FLOOR)
    embedding = _segment_layers(config, mean, deviation, fused)
    return keras.Model({"mfcc": mfcc, "share": share}, {"embedding": embedding, "voiced": voiced}, name="encoder")


def build_step(config: NetworkConfig) -> keras.Model:
    """One hop of a stream, fused.

    Inputs: `mfcc` (1, hop_frames, n_mfcc), `share` (1, hop_frames), and `state` (1, n), the left context of all
    layers, zeros at the start of a stream. Outputs, by name: `sums` (1, 1 + gates + 2 * pooled), speech, weights,
    channels and squares summed over this hop, as the pooling needs them, and the next `state`.
    """
    mfcc = keras.Input((config.hop_frames, config.n_mfcc), batch_size=1, name="mfcc")
    share = keras.Input((config.hop_frames,), batch_size=1, name="share")
    sizes = [(config.kernel - config.stride) * config.n_mfcc, *(2 * d * config.channels for d in config.dilations)]
    state = keras.Input((sum(sizes),), batch_size=1, name="state")
    following: list[Any] = []

    def carried(x: Any, n: int) -> Any:
        size, at = n * x.shape[-1], sum(rows.shape[-1] for rows in following)
        x = layers.Concatenate(axis=1)([layers.Reshape((n, x.shape[-1]))(state[:, at : at + size]), x])
        following.append(layers.Reshape((size,))(x[:, -n:, :]))
        return x

    h, gate, voiced = _frame_layers(config, mfcc, carried, fused=True)
    sums = layers.Concatenate()(list(_weighted_sums(config, h, gate, voiced * _of_steps(config, share))))
    outputs = {"sums": sums, "state": layers.Concatenate()(following)}
    return keras.Model({"mfcc": mfcc, "share": share, "state": state}, outputs, name="step")


def fused_weights(
    encoder: keras.Model, geometry: NDArray[np.floating] | None = None
) -> dict[str, NDArray[np.floating]]:
    """The weights of a trained encoder with its normalisations taken into the kernels.

    All is rounded to 16 bits, the way it is shipped. `mfcc_norm` is kept in 32, as the mean and the variance
    whose factor and offset are numbers of 16 bits: those two are what the converter rounds.

    Args:
        encoder: a `build_encoder(config, fused=False)`.
        geometry: (d, d) what its embeddings are to be multiplied by, before they are brought to unit length.

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
    for name, part in product(("gate", "voiced"), ("kernel", "bias")):
        weights[f"{name}/{part}"] = _array(getattr(named[name], part), np.float64)
    before, after = _affine(named["segment_in_norm"]), _affine(named["segment_out_norm"])
    kernel = _array(named["segment_dense"].kernel, np.float64)
    turn = np.eye(kernel.shape[1]) if geometry is None else geometry
    weights["segment_dense/bias"] = ((before[1] @ kernel) * after[0] + after[1]) @ turn
    weights["segment_dense/kernel"] = before[0][:, None] * kernel * after[0] @ turn
    return {key: v if key.startswith("mfcc_norm") else v.astype(np.float16) for key, v in weights.items()}


def fused_layout(config: NetworkConfig) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every array that `fused_weights` gives for a network of this shape."""
    return {
        name: (tuple(weight.shape), "float32" if layer.name == "mfcc_norm" else "float16")
        for layer in build_encoder(config, fused=True).layers
        for name, weight in zip(_names(layer), layer.weights, strict=True)
    }


def load_weights(model: keras.Model, weights: Mapping[str, NDArray[np.floating]]) -> None:
    """Set every layer of a fused model (encoder or step) from `<layer>/<weight>` arrays."""
    for layer in model.layers:
        layer.set_weights([weights[name].astype(np.float32) for name in _names(layer)])


def load_encoder(weights: Weights) -> keras.Model:
    """The shipped network, fused: see `build_encoder`."""
    config = NetworkConfig(**{**weights.network, "dilations": tuple(weights.network["dilations"])})
    network = build_encoder(config, fused=True)
    with np.load(weights.folder / "network.npz", allow_pickle=False) as arrays:
        load_weights(network, dict(arrays))
    return network


def _names(layer: keras.layers.Layer) -> list[str]:
    # Of the weights of a fused layer, in its own order.
    parts = ("mean", "variance") if layer.name == "mfcc_norm" else ("kernel", "bias")
    return [f"{layer.name}/{part}" for part in parts] if layer.weights else []


def _array(variable: Any, dtype: type) -> NDArray[Any]:
    return np.asarray(ops.convert_to_numpy(variable), dtype)


def _affine(norm: keras.layers.BatchNormalization) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # What batch normalisation does once trained: x * factor + offset.
    factor = 1.0 / np.sqrt(_array(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.scale:
        factor = factor * _array(norm.gamma, np.float64)
    offset = -_array(norm.moving_mean, np.float64) * factor
    return factor, offset + _array(norm.beta, np.float64) if norm.center else offset
