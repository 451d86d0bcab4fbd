"""Fitting a softmax over some people and nobody: the one loop of every fine-tuning."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["fair_weights", "fit"]

Floats = NDArray[np.float32]
Labels = NDArray[np.integer]

PATIENCE = 4  # epochs without a better validation, after which it stops


def fit(
    model: Any,
    values: Floats,
    labels: Labels,
    n: int,
    *,
    rate: float,
    batch: int,
    epochs: int,
    least: int = 1,
    seed: int = 0,
    validation: tuple[Floats, Labels] | None = None,
    on_epoch: Callable[[int], None] = lambda _: None,
) -> tuple[float, int]:
    """Train a Keras model that ends with a softmax over `n` people and nobody.

    It is what `Model.fit` does with `EarlyStopping`, in a third of the time: that spends most of it on setting up.

    Args:
        model: not compiled; it has its best weights afterwards.
        values: (m, ...) what it is given.
        labels: (m,) whose, `n` for nobody's.
        n: people.
        rate: of Adam.
        batch: values in a step, at most.
        epochs: how many, at most.
        least: so many of them, whatever the validation says.
        seed: of the order.
        validation: values and labels; given them, the training stops when it no longer helps.
        on_epoch: called with the number of every epoch that is done.

    Returns:
        The loss of the validation, nan without one, and the epochs after which it was best.
    """
    import keras
    import tensorflow as tf

    adam = keras.optimizers.Adam(rate)
    adam.build(model.trainable_variables)
    signature = [
        tf.TensorSpec((None, *values.shape[1:]), "float32"),
        tf.TensorSpec((None,), "int64"),
        tf.TensorSpec((None,), "float32"),
    ]

    def loss_of(x: Any, y: Any, weights: Any, *, training: bool) -> Any:
        losses = keras.losses.sparse_categorical_crossentropy(y, model(x, training=training))
        return tf.reduce_mean(weights * losses) + sum(model.losses)

    def step(x: Any, y: Any, weights: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(x, y, weights, training=True)
        adam.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    def validate(x: Any, y: Any, weights: Any) -> Any:
        return loss_of(x, y, weights, training=False)

    step, validate = (tf.function(f, input_signature=signature, autograph=False) for f in (step, validate))
    weights = fair_weights(labels, n).astype(np.float32)
    labels = labels.astype(np.int64)
    held_out = (*validation, fair_weights(validation[1], n).astype(np.float32)) if validation else None
    rng = np.random.default_rng(seed)
    best, after, kept = float("nan"), epochs, None
    for epoch in range(1, epochs + 1):
        # Batches of one size: what a small last one happens to hold would have as much weight as all of another.
        for some in np.array_split(rng.permutation(len(labels)), -(-len(labels) // batch)):
            step(values[some], labels[some], weights[some])
        on_epoch(epoch)
        if held_out is None or epoch < least:
            continue
        loss = float(validate(*held_out))
        if kept is None or loss < best:
            best, after, kept = loss, epoch, model.get_weights()
        elif epoch - after >= PATIENCE:
            break
    if kept:
        model.set_weights(kept)
    return best, after


def fair_weights(labels: NDArray[np.integer], n: int) -> NDArray[np.float64]:
    """(m,) weights, 1 on average: every person weighs the same, and all of them as much as the strangers, label `n`."""
    share = np.append(np.full(n, 0.5 / n), 0.5) / np.maximum(np.bincount(labels, minlength=n + 1), 1)
    weights = share[labels]
    return np.asarray(weights / weights.mean(), np.float64)
