"""Fine-tuning: the pretrained network without its last layer, and a new softmax over the people of a profile.

What is trained follows the embedding: a softmax whose last output is "nobody of these", and, where that helps,
a square layer before it, which begins as the identity. The people's kept speech is cut into windows, as it came and
spoilt; "nobody" is taught by windows of training voices that travel with the weights, clean and spoilt as well,
or noise would mean a person. A part of each person's references is held out: it stops the training, chooses what is
trained, and decides whether the head is better than none. Then everything is learned from, for as long.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder, HopSums, Pooling, add_up
from model.fitting import fit
from model.head import Head
from model.hearing import Heard, listen, overhear
from model.outcome import Compared, Outcome, outcome_of
from model.scoring import Judge, mean_vector
from stream.errors import EnrolmentError
from stream.quiet import quiet_stderr

__all__ = [
    "FineTuned",
    "centroid_of",
    "draw_windows",
    "fine_tune",
    "owners_of",
    "split",
    "train_head",
]

Floats = NDArray[np.float32]

WINDOWS = 10  # drawn from every copy, of any of these lengths:
WINDOW_HOPS = (5, 30)
TESTED_HOPS = (10, 20)  # lengths of the windows that are held out: 1 and 2 s
HELD_OUT = 0.25  # of the references and of the strangers
TESTED_COPIES = 3  # of those that are held out
LEAST_EPOCHS, EPOCHS, BATCH, RATE = 4, 10, 512, 0.01
SCALE = 15.0  # of the first logits: cosines to the people's centres times this
NOBODY = 0.4  # the cosine below which a voice is first taken for nobody's
NEAR_KERNEL, NEAR_TURN = 1e-2, 1e-3  # how strongly layers are held to where they began
TAIL, MEASURED, TYPICAL = 0.9, 0.25, 1.8
"""How far a head's likelihood ratios of strangers lie above the cohort's, in natural-log units: `TYPICAL` of ten
households of dev speakers. What the strangers that were held out show at the quantile `TAIL` is noisy, 1.6 to 3.0 in
these households, and counts for `MEASURED` of it. At 2 s 92.8 % of the people pass a threshold that 1 % of strangers
pass, as without any shift; 91.0 % by what was measured alone, 88.3 % by as few strangers of 250 as with the cohort.
"""


@dataclass(frozen=True, eq=False, slots=True)
class FineTuned(Compared):
    """A new head, and whether it is one to use."""

    head: Head
    before: Outcome
    after: Outcome
    layers: str  # what was trained: "head", or "head and segment layer"
    epochs: int


def fine_tune(
    people: Mapping[str, Sequence[Floats]],
    encoder: Encoder,
    *,
    seed: int = 0,
    on_done: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> FineTuned:
    """Train a head on the people's kept speech.

    Args:
        people: by identifier, the recordings behind their references: (n,) at 16 kHz, silence cut out.
        encoder: the network that stays as it is.
        seed: of all that is drawn.
        on_done: called with (what, done, total): "listening", in references, and "training", in epochs.

    Raises:
        EnrolmentError: there are fewer than two people, or a person has fewer than two references.
    """
    names, owner = tuple(people), owners_of(people)
    pooling = Pooling(encoder.weights)
    recordings = [samples for name in names for samples in people[name]]
    heard, rng = _heard(recordings, encoder, seed, partial(on_done, "listening"))
    strangers, strangers_s = encoder.weights.strangers()
    from sklearn.model_selection import train_test_split

    learn, test = split(owner, seed)
    known, unknown = train_test_split(np.arange(len(strangers)), test_size=HELD_OUT, random_state=seed)

    vectors, labels = draw_windows(heard, owner, learn, pooling, rng)
    tested, seconds, whose = _tested(heard, owner, test, pooling)
    tested, seconds = np.concatenate([tested, strangers[unknown]]), np.append(seconds, strangers_s[unknown])
    whose = np.append(whose, np.full(len(unknown), len(names)))

    def told(before: int, done: int) -> None:
        on_done("training", before + done, 3 * EPOCHS)

    trained = {}
    for both in (False, True):
        what = "head and segment layer" if both else "head"
        trained[what] = train_head(
            vectors,
            labels,
            strangers[known],
            names,
            both=both,
            seed=seed,
            validation=(tested, whose),
            on_epoch=partial(told, both * EPOCHS),
        )
    layers = min(trained, key=lambda what: trained[what].loss)
    tried, epochs = trained[layers].head, trained[layers].epochs

    centroids = np.stack(
        [centroid_of([heard[i][0] for i in learn if owner[i] == person], pooling) for person in range(len(names))]
    )
    cohort = Judge(centroids, encoder.weights).llr(tested, seconds)
    before, strange = outcome_of(cohort, whose), whose == len(names)
    unsure = Judge(centroids, encoder.weights, tried).llr(tested[strange], seconds[strange])
    threshold = _threshold(unsure, cohort[strange], seconds[strange])
    sure = Judge(centroids, encoder.weights, replace(tried, threshold=threshold))
    after = outcome_of(sure.llr(tested, seconds), whose)

    every, labels = draw_windows(heard, owner, np.arange(len(owner)), pooling, rng)
    final = train_head(
        every,
        labels,
        strangers,
        names,
        both=layers != "head",
        seed=seed,
        epochs=epochs,
        on_epoch=partial(told, 2 * EPOCHS),
    )
    told(3 * EPOCHS, 0)
    return FineTuned(replace(final.head, threshold=threshold), before, after, layers, epochs)


def _heard(
    recordings: Sequence[Floats], encoder: Encoder, seed: int, on_done: Callable[[int, int], None]
) -> tuple[Heard, np.random.Generator]:
    # Keras takes as long to import as some minutes of speech to be heard: both at once, unless it is there already.
    if "keras" not in sys.modules:
        with overhear(recordings, encoder, seed, on_done) as answer:
            _import_keras()
            if found := answer():
                return found
    rng = np.random.default_rng(seed)
    return listen(recordings, encoder, rng, on_done), rng


def _import_keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported, which is here
    with quiet_stderr():
        import keras

    return keras


def owners_of(people: Mapping[str, Sequence[Floats]]) -> NDArray[np.int64]:
    """(recordings,) whose each is, of all people's one after another.

    Raises:
        EnrolmentError: there are fewer than two people, or a person has fewer than two recordings.
    """
    if len(people) < 2:
        raise EnrolmentError(
            f"expected two people or more to tell apart, got {len(people) or 'nobody'}; enrol more people"
        )
    counts = [len(recordings) for recordings in people.values()]
    if (few := min(counts)) < 2:
        raise EnrolmentError(
            f"expected two references of everybody, to learn from one and try on the other, got {few} of one person; "
            "enrol more speech, without --no-audio"
        )
    return np.repeat(np.arange(len(people)), counts)


def split(owner: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The recordings to learn from and those held out, by number; somebody's of each is in both.

    Args:
        owner: (recordings,) whose.
        seed: of the draw.
    """
    from sklearn.model_selection import train_test_split

    people = len(np.unique(owner))
    held_out = max(people, round(HELD_OUT * len(owner)))
    learn, test = train_test_split(np.arange(len(owner)), test_size=held_out, stratify=owner, random_state=seed)
    return learn, test


@dataclass(frozen=True, eq=False, slots=True)
class Trained:
    """A head, and how its training went."""

    head: Head
    loss: float  # of the validation, nan without one
    epochs: int  # after which it was best


def train_head(
    vectors: Floats,
    labels: NDArray[np.integer],
    strangers: Floats,
    people: Sequence[str],
    *,
    both: bool,
    seed: int,
    epochs: int = EPOCHS,
    validation: tuple[Floats, NDArray[np.integer]] | None = None,
    on_epoch: Callable[[int], None] = lambda _: None,
) -> Trained:
    """Train the softmax on embeddings.

    Args:
        vectors: (m, d) of the people, unit length.
        labels: (m,) whose, in [0, n).
        strangers: (k, d) of nobody of these.
        people: n identifiers.
        both: the square layer as well, not the softmax alone.
        seed: of the order.
        epochs: how many, at most.
        validation: embeddings and labels, n for strangers; given that, the training stops when it no longer helps.
        on_epoch: called with the number of every epoch that is done.
    """
    keras = _import_keras()
    n, d = len(people), vectors.shape[1]
    own = [vectors[labels == person] for person in range(n)]
    centres = np.stack([mean_vector(rows, np.ones(len(rows))) for rows in own])
    kernel = np.hstack([SCALE * centres.T, np.zeros((d, 1), np.float32)])
    bias = np.append(np.zeros(n, np.float32), np.float32(SCALE * NOBODY))

    def near(start: Floats, strength: float) -> Callable[[Any], Any]:
        return lambda weights: strength * keras.ops.sum(keras.ops.square(weights - start))

    keras.utils.set_random_seed(seed)
    turn = keras.layers.Dense(
        d, use_bias=False, kernel_initializer="identity", trainable=both, name="turn",
        kernel_regularizer=near(np.eye(d, dtype=np.float32), NEAR_TURN),
    )  # fmt: skip
    softmax = keras.layers.Dense(n + 1, "softmax", name="people", kernel_regularizer=near(kernel, NEAR_KERNEL))
    model = keras.Sequential([keras.Input((d,)), turn, keras.layers.UnitNormalization(), softmax])
    softmax.set_weights([kernel, bias])
    x, y = np.concatenate([vectors, strangers]), np.append(labels, np.full(len(strangers), n))
    loss, best = fit(
        model, x, y, n,
        rate=RATE, batch=BATCH, least=LEAST_EPOCHS, epochs=epochs, seed=seed, validation=validation, on_epoch=on_epoch,
    )  # fmt: skip
    kernel, bias = softmax.get_weights()
    return Trained(Head(tuple(people), turn.get_weights()[0], kernel, bias), loss, best)


def draw_windows(
    heard: Sequence[Sequence[Sequence[HopSums]]],
    owner: NDArray[np.integer],
    chosen: NDArray[np.integer],
    pooling: Pooling,
    rng: np.random.Generator,
) -> tuple[Floats, NDArray[np.integer]]:
    """Embeddings (m, d) and owners (m,) of random windows.

    Args:
        heard: of every reference, of every copy of it, the hops.
        owner: (references,) whose.
        chosen: references, by number.
        pooling: of the weights.
        rng: draws them.
    """
    sums, labels = [], []
    for i in chosen:
        for hops in heard[i]:
            for _ in range(WINDOWS):
                n = min(len(hops), int(rng.integers(WINDOW_HOPS[0], WINDOW_HOPS[1] + 1)))
                at = int(rng.integers(len(hops) - n + 1))
                sums.append(add_up(hops[at : at + n]))
                labels.append(owner[i])
    vectors, seconds = pooling.embed(np.stack(sums))
    spoken = seconds > 0
    return vectors[spoken], np.array(labels)[spoken]


def _tested(
    heard: Sequence[Sequence[Sequence[HopSums]]],
    owner: NDArray[np.integer],
    chosen: NDArray[np.integer],
    pooling: Pooling,
) -> tuple[Floats, Floats, NDArray[np.integer]]:
    # Embeddings, seconds of speech and labels of windows side by side in the chosen references.
    sums, labels = [], []
    for i in chosen:
        for hops in heard[i][:TESTED_COPIES]:
            for n in TESTED_HOPS:
                for at in range(0, max(1, len(hops) - n + 1), n):
                    sums.append(add_up(hops[at : at + n]))
                    labels.append(owner[i])
    vectors, seconds = pooling.embed(np.stack(sums))
    return vectors, seconds, np.array(labels)


def centroid_of(references: Sequence[Sequence[HopSums]], pooling: Pooling) -> Floats:
    """(d,) unit length: the mean voice of some references, by their hops."""
    return mean_vector(*pooling.embed(np.stack([add_up(hops) for hops in references])))


def _threshold(llr: NDArray[np.float64], cohort: NDArray[np.float64], speech_s: Floats) -> float:
    # By how much a head's ratios (n, people) of strangers' windows lie above the cohort's, where one in ten lies.
    tails = [np.quantile(ratios.max(axis=1) / np.minimum(speech_s, 1.0), TAIL) for ratios in (llr, cohort)]
    return float(max(0.0, MEASURED * (tails[0] - tails[1]) + (1.0 - MEASURED) * TYPICAL))
