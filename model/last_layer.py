"""Several last layers joined into one, which costs nothing live.

Layers that were learned with different losses err differently. Side by side, their values are one long embedding
whose cosines are the weighted mean of theirs; its main directions are kept. All of that is linear, so it is one
matrix again.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LastLayer", "join_layers"]

LastLayer = tuple[NDArray[np.floating], NDArray[np.floating]]
"""A kernel (m, d) and a bias (d,)."""


def join_layers(
    layers: Sequence[LastLayer], weights: Sequence[float], moments: NDArray[np.floating], size: int
) -> LastLayer:
    """One layer that says what several say side by side, as far as so many values can hold it.

    Args:
        layers: (m, d) and (d,) each; d may differ.
        weights: how much each counts; only their ratios matter.
        moments: (n, m) of speech such as the layers will hear: it tells their usual lengths and directions.
        size: values of the joined layer; with as many as all layers have together nothing is lost.

    Returns:
        A kernel (m, size) and a bias (size,). The main directions come last.
    """
    moments = np.asarray(moments, np.float64)
    kernels, biases = [], []
    for (kernel, bias), weight in zip(layers, np.asarray(weights) / np.sum(weights), strict=True):
        # A layer's scale is arbitrary: divided by its usual length, its weight alone says what it counts.
        length = np.sqrt(np.mean(np.sum(np.square(moments @ kernel + bias), axis=1)))
        kernels.append(kernel * (np.sqrt(weight) / length))
        biases.append(bias * (np.sqrt(weight) / length))
    beside, biases_beside = np.concatenate(kernels, axis=1), np.concatenate(biases)
    values = moments @ beside + biases_beside
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    # Not about their mean: cosines are measured from the origin.
    directions = np.linalg.eigh(values.T @ values)[1][:, -size:]
    return beside @ directions, biases_beside @ directions
