"""The one loop of every fine-tuning: what it learns, when it stops, and that chance is seeded."""

import keras
import numpy as np
import pytest

from model.fitting import PATIENCE, fair_weights, fit

PEOPLE, SIZE = 3, 8


def speech(n: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(PEOPLE + 1, size=n)
    centres = np.random.default_rng(0).standard_normal((PEOPLE + 1, SIZE))
    return (centres[labels] + noise * rng.standard_normal((n, SIZE))).astype(np.float32), labels


def softmax() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((SIZE,)), keras.layers.Dense(PEOPLE + 1, "softmax")])


def loss(model: keras.Model, values: np.ndarray, labels: np.ndarray) -> float:
    chances = np.asarray(model(values))[np.arange(len(labels)), labels]
    return float(np.mean(fair_weights(labels, PEOPLE) * -np.log(chances)))


def test_it_learns_who_is_who() -> None:
    model, (values, labels) = softmax(), speech(203, 0.3, seed=2)  # the last batch is smaller
    told: list[int] = []
    fit(model, values, labels, PEOPLE, rate=0.05, batch=32, epochs=20, on_epoch=told.append)
    assert told == [*range(1, 21)]
    assert np.mean(np.asarray(model(values)).argmax(axis=1) == labels) > 0.97


def test_it_does_what_keras_does() -> None:
    values, labels = speech(96, 0.5, seed=3)
    ours, theirs = softmax(), softmax()
    fit(ours, values, labels, PEOPLE, rate=0.05, batch=96, epochs=5)  # one batch: the order is of no account
    theirs.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    theirs.fit(values, labels, sample_weight=fair_weights(labels, PEOPLE), batch_size=96, epochs=5, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_it_stops_where_validation_no_longer_helps_and_keeps_the_best() -> None:
    values, labels = speech(40, 3.0, seed=4)  # few and noisy: soon it only learns them by heart
    held_out = speech(200, 3.0, seed=5)
    model, told = softmax(), []
    best, after = fit(
        model, values, labels, PEOPLE, rate=0.1, batch=8, epochs=200, validation=held_out, on_epoch=told.append
    )
    assert told[-1] == after + PATIENCE < 200
    assert best == pytest.approx(loss(model, *held_out), rel=1e-4)
    again, _ = fit(softmax(), values, labels, PEOPLE, rate=0.1, batch=8, epochs=after, validation=held_out)
    assert again == pytest.approx(best, rel=1e-4)  # seeded: the same run, ended where it was best


def test_it_goes_on_for_the_least_that_was_asked() -> None:
    values, labels = speech(40, 3.0, seed=4)
    told: list[int] = []
    _, after = fit(
        softmax(), values, labels, PEOPLE,
        rate=0.1, batch=8, epochs=50, least=30, validation=speech(200, 3.0, seed=5), on_epoch=told.append,
    )  # fmt: skip
    assert 30 <= after <= told[-1] - PATIENCE or told[-1] == 50
