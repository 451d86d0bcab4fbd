"""Fine-tuning on a base model of the user's: a new last layer over the people of a profile, in window mode.

The base stays as it is. Its last layer is replaced by a softmax over the people and "nobody of these", which learns
from windows of half a second to two of their kept speech (`model.base_windows`). A part of each person's references is
held out: it stops the training, calibrates the evidence, and decides whether the base model, together with the cohort,
is better than the cohort alone. Then everything is learned from, for as long, and the whole is converted to LiteRT.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model.base import Base
from model.base_convert import convert
from model.base_windows import Tested, ask, cut_windows, draw_windows, filter_bank
from model.encoder import Encoder, Pooling
from model.fine_tune import centroid_of, owners_of, split
from model.fitting import fit
from model.metrics import fit_llr
from model.outcome import Compared, Outcome, outcome_of
from model.scoring import Judge
from model.window_head import Opinion, WindowHead, evidence
from stream.clock import SAMPLE_RATE
from stream.errors import EnrolmentError
from stream.quiet import quiet_stderr

__all__ = ["BaseTuned", "tune_base"]

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

EPOCHS, BATCH, RATE = 30, 256, 0.01
DECAY = 1e-3  # of the new layer's squared weights
FLAT = 1e-4  # a value that varies less than this says nothing


@dataclass(frozen=True, eq=False, slots=True)
class BaseTuned(Compared):
    """A base model with its new last layer, and whether it is one to use."""

    head: WindowHead
    before: Outcome  # by the cohort alone
    after: Outcome  # together with the base model
    layers: str  # what was trained, for a message
    epochs: int


def tune_base(
    people: Mapping[str, Sequence[Floats]],
    base: Base,
    encoder: Encoder,
    *,
    seed: int = 0,
    on_done: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> BaseTuned:
    """Give a base model a last layer for the people, and convert it.

    Args:
        people: by identifier, the recordings behind their references: (n,) at 16 kHz, silence cut out.
        base: without its last layer.
        encoder: the shipped network, whose scores against the cohort it is joined with and measured against.
        seed: of all that is drawn.
        on_done: called with (what, done, total): "listening", in references, and "training", in epochs.

    Raises:
        EnrolmentError: there are fewer than two people, a person has fewer than two references, or somebody's are
            shorter than half a second.
        WeightsError: the base model cannot be converted to LiteRT.
    """
    names, owner = tuple(people), owners_of(people)
    recordings = [samples for name in names for samples in people[name]]
    learn, test = split(owner, seed)
    rng, mel, n = np.random.default_rng(seed), filter_bank(), len(names)

    def listened(done: int) -> None:
        on_done("listening", done, len(recordings))

    def trained(before: int, done: int) -> None:
        on_done("training", before + done, 2 * EPOCHS)

    with quiet_stderr():
        drawn = draw_windows(recordings, owner, base, mel, rng, listened)
        tested = cut_windows(recordings, owner, test, base, mel, encoder, rng)
        learned = np.isin(drawn.recording, learn)
        for labels in (drawn.labels[learned], tested.labels[::2], tested.labels[1::2]):
            if len(np.unique(labels)) <= n:
                raise EnrolmentError(
                    "expected references of more than half a second of everybody, got shorter ones; enrol more speech"
                )
        said = ask(base, tested.inputs)
        tried = _train(
            drawn.values[learned], drawn.labels[learned], n, seed, partial(trained, 0), (said, tested.labels)
        )
        before, after, opinion = _judged(
            evidence(tried.probabilities(said)), tested, _centroids(recordings, owner, learn, encoder), encoder
        )
        final = _train(drawn.values, drawn.labels, n, seed, partial(trained, EPOCHS), epochs=tried.epochs)
        model = convert(base, final.kernel, final.bias, tested.inputs)
    trained(2 * EPOCHS, 0)
    head = WindowHead(names, model, mel, opinion)
    return BaseTuned(head, before, after, f"last layer of {base.name}", tried.epochs)


@dataclass(frozen=True, eq=False, slots=True)
class _Softmax:
    """A new last layer."""

    kernel: Floats  # (size, n + 1)
    bias: Floats  # (n + 1,)
    epochs: int  # after which it was best

    def probabilities(self, values: Floats) -> Floats:
        """(m, n + 1) of (m, size)."""
        said = values @ self.kernel + self.bias
        odds = np.exp(said - said.max(axis=1, keepdims=True))
        shares: Floats = odds / odds.sum(axis=1, keepdims=True)
        return shares


def _train(
    values: Floats,
    labels: Labels,
    n: int,
    seed: int,
    on_epoch: Callable[[int], None],
    validation: tuple[Floats, Labels] | None = None,
    epochs: int = EPOCHS,
) -> _Softmax:
    import keras

    # The values are of any size; the layer learns from what they are in deviations, and is told them as they are.
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    scale = np.where(deviation > FLAT, 1.0 / np.maximum(deviation, FLAT), 0.0).astype(np.float32)

    def scaled(rows: Floats) -> Floats:
        return np.asarray((rows - mean) * scale, np.float32)

    keras.utils.set_random_seed(seed)
    softmax = keras.layers.Dense(n + 1, "softmax", kernel_regularizer=keras.regularizers.L2(DECAY))
    model = keras.Sequential([keras.Input((values.shape[1],)), softmax])
    held_out = (scaled(validation[0]), validation[1]) if validation else None
    _, best = fit(
        model, scaled(values), labels, n,
        rate=RATE, batch=BATCH, epochs=epochs, seed=seed, validation=held_out, on_epoch=on_epoch,
    )  # fmt: skip
    kernel, bias = softmax.get_weights()
    kernel = scale[:, None] * kernel
    return _Softmax(kernel, np.asarray(bias - mean @ kernel, np.float32), best)


def _centroids(recordings: Sequence[Floats], owner: Labels, learn: Labels, encoder: Encoder) -> Floats:
    # (n, d) everybody's voice, of what is not held out.
    pooling = Pooling(encoder.weights)
    heard = {int(i): encoder.hops(recordings[i], sample_rate=SAMPLE_RATE) for i in learn}
    return np.stack(
        [centroid_of([heard[i] for i in heard if owner[i] == person], pooling) for person in np.unique(owner)]
    )


def _judged(said: Floats, tested: Tested, centroids: Floats, encoder: Encoder) -> tuple[Outcome, Outcome, Opinion]:
    # How the cohort alone and both together fare, and what the base model's evidence is worth.
    cohort = Judge(centroids, encoder.weights).llr(tested.vectors, tested.seconds)
    together = np.empty_like(cohort)
    for half in (0, 1):  # no window is judged by a calibration that was fitted on it
        ours, others = slice(half, None, 2), slice(1 - half, None, 2)
        fitted = _fit(said[others], tested.labels[others])
        together[ours] = fitted.join(cohort[ours], said[ours], tested.seconds[ours, None])
    before, after = (outcome_of(llr, tested.labels) for llr in (cohort, together))
    return before, after, _fit(said, tested.labels)


def _fit(said: Floats, labels: Labels) -> Opinion:
    own = labels[:, None] == np.arange(said.shape[1])
    slope, offset = fit_llr(said.ravel(), own.ravel())
    if slope <= 0:  # the evidence misleads
        slope = offset = 0.0
    # So many windows bear no witness to less than one error in so many.
    return Opinion(slope, offset, float(np.log1p(np.count_nonzero(own))))
