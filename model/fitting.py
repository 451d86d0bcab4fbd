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
    validation: tuple[Floats, Labels] | None = None,
    on_epoch: Callable[[int], None] = lambda _: None,
) -> tuple[float, int]:
    """Train a Keras model that ends with a softmax over `n` people and nobody.

    Args:
        model: not compiled; it has its best weights afterwards.
        values: (m, ...) what it is given.
        labels: (m,) whose, `n` for nobody's.
        n: people.
        rate: of Adam.
        batch: values in a step.
        epochs: how many, at most.
        least: so many of them, whatever the validation says.
        validation: values and labels; given them, the training stops when it no longer helps.
        on_epoch: called with the number of every epoch that is done.

    Returns:
        The loss of the validation, nan without one, and the epochs after which it was best.
    """
    import keras

    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _logs: on_epoch(epoch + 1))
    stop = keras.callbacks.EarlyStopping(
        "val_loss", patience=PATIENCE, restore_best_weights=True, start_from_epoch=least - 1
    )
    fitted = model.fit(
        values,
        labels,
        sample_weight=fair_weights(labels, n),
        validation_data=(*validation, fair_weights(validation[1], n)) if validation else None,
        batch_size=batch,
        epochs=epochs,
        callbacks=[told, stop] if validation else [told],
        verbose=0,
    )
    if not validation:
        return float("nan"), epochs
    losses = fitted.history["val_loss"][least - 1 :]
    best = int(np.argmin(losses))
    return float(losses[best]), best + least


def fair_weights(labels: NDArray[np.integer], n: int) -> NDArray[np.float64]:
    """(m,) weights, 1 on average: every person weighs the same, and all of them as much as the strangers, label `n`."""
    share = np.append(np.full(n, 0.5 / n), 0.5) / np.maximum(np.bincount(labels, minlength=n + 1), 1)
    weights = share[labels]
    return np.asarray(weights / weights.mean(), np.float64)
