"""Base models as users might bring them, for tests."""

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.augment import augment, change_speed
from model.base import Base, load_base
from model.base_convert import convert
from model.base_windows import filter_bank
from model.window_head import WINDOW_ROWS, Opinion, WindowHead, features, window_of
from stream.mfcc import Mfcc
from stream.records import Block
from tests.talk import NAMES, reading

layers = keras.layers


def over_mean(n_mfcc: int = 13) -> Any:
    """As in tutorials: the mean of 13 coefficients over time, through two dense layers."""
    return keras.Sequential(
        [
            keras.Input((n_mfcc,)),
            layers.Dense(32, "relu"),
            layers.Dropout(0.2),
            layers.Dense(5, "softmax"),
        ]
    )


def convolution(frames: int | None = None, n_mfcc: int = 13) -> Any:
    return keras.Sequential(
        [
            keras.Input((frames, n_mfcc)),
            layers.BatchNormalization(),
            layers.Conv1D(24, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(5),
            layers.Softmax(),
        ]
    )


def recurrent(frames: int | None = None) -> Any:
    return keras.Sequential(
        [
            keras.Input((frames, 20)),
            layers.BatchNormalization(),
            layers.LSTM(8),
            layers.Dense(6, "relu"),
            layers.Dense(5),
            layers.Activation("softmax"),
        ]
    )


@functools.cache
def learned() -> Any:
    """A convolution that has learned to tell voices: the demo's, each at five speeds, as it came and spoilt."""
    rng, inputs, labels = np.random.default_rng(0), [], []
    voices = [(name, speed) for name in NAMES for speed in (0.78, 0.88, 1.0, 1.12, 1.28)]
    for label, (name, speed) in enumerate(voices):
        sound = change_speed(reading(name), speed)
        for copy in range(4):
            noisy = augment(sound, [], [], [], rng) if copy else sound
            (rows,) = Mfcc(features(20), mel()).push(Block(0, noisy))
            for at in range(0, len(rows.mfcc) - WINDOW_ROWS, 20):
                n = int(rng.integers(20, WINDOW_ROWS))
                inputs.append(window_of(rows.mfcc[at : at + n], (WINDOW_ROWS, 20)))
                labels.append(label)
    x, y = np.stack(inputs), np.array(labels)
    keras.utils.set_random_seed(1)
    normal = layers.Normalization()
    normal.adapt(x)
    model = keras.Sequential(
        [
            keras.Input((None, 20)),
            normal,
            layers.Conv1D(48, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(32, "relu"),
            layers.Dense(len(voices), "softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=64, epochs=12, verbose=0)
    return model


def both_ways() -> Any:
    inputs = keras.Input((30, 13))
    found = layers.Bidirectional(layers.GRU(4))(layers.Masking()(inputs))
    return keras.Model(inputs, layers.Dense(3, "sigmoid")(found))


def constant() -> Any:
    """It says the same whatever it hears."""
    return keras.Sequential([keras.Input((13,)), layers.Dense(4, kernel_initializer="zeros"), layers.Dense(5)])


def saved(model: Any, path: Path) -> Path:
    model.save(path)
    return path


def loaded(model: Any, folder: Path) -> Base:
    return load_base(saved(model, folder / "base.keras"))


@functools.cache
def mel() -> np.ndarray:
    return filter_bank()


def window_head(base: Base, people: tuple[str, ...], seed: int = 0, opinion: Opinion | None = None) -> WindowHead:
    """A head with a last layer drawn by chance."""
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((base.size, len(people) + 1)).astype(np.float32) / base.size
    bias = np.zeros(len(people) + 1, np.float32)
    inputs = rng.standard_normal((3, *base.shape)).astype(np.float32)
    return WindowHead(people, convert(base, kernel, bias, inputs), mel(), opinion or Opinion(0.5, 0.1, 4.0))
