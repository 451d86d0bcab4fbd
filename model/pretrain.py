"""Pretraining: from a corpus of speech to the weights of the encoder.

A margin softmax (additive angular margin, Deng et al., 2019) over the training voices: each speaker at each
speed. A voice competes only with voices of its own corpus (of its own language, where a language has
enough of them), because between corpora the channel would tell them apart. Beside it the network predicts
what teachers hear in the same crop, also where nobody has named the voice, and which steps are speech. Crops are
short and spoilt, as live windows are. The program is backend-neutral Keras 3: `KERAS_BACKEND=jax` trains on a GPU.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from model.corpus import Clip
from model.feature_store import FeatureStore
from model.network import NetworkConfig, build_encoder
from model.teacher import Lessons, Stretch
from model.verify import Piece, Trials, make_trials
from stream.errors import UsageError, WeightsError
from stream.text import one_line

__all__ = ["EpochReport", "PretrainConfig", "Pretraining", "halfway_geometry", "rivals"]

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # to what Keras calls them
MIN_LANGUAGE_SPEAKERS = 20  # a language with fewer competes with the rest of its corpus


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """How the encoder is trained."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    epochs: int = 35
    steps_per_epoch: int = 400
    batch_size: int = 128
    crop_frames: tuple[int, ...] = (80, 120, 200)  # one length per batch, in frames of 10 ms
    learning_rate: float = 2e-3  # peak, after the warm-up; then a cosine down to a hundredth
    weight_decay: float = 1e-4
    scale: float = 30.0  # of the cosines before the softmax
    margin: float = 0.2  # in radians, reached after a third of the epochs
    channel_db: float = 3.0  # standard deviation of a random smooth filter on every crop
    gain_db: float = 10.0  # standard deviation of a random gain on every crop
    teacher_weight: float = 20.0  # of the distance to the teachers' embeddings, beside the cross-entropy
    precision: str = "float32"  # of the frame layers while training, or "bfloat16" where that is faster
    seed: int = 1

    def __post_init__(self) -> None:
        numbers = (self.epochs, self.steps_per_epoch, self.batch_size, *self.crop_frames)
        if not self.crop_frames or min(numbers) < 1:
            raise UsageError(
                "expected at least one epoch, step, clip in a batch and frame in a crop, got "
                f"{self.epochs}, {self.steps_per_epoch}, {self.batch_size} and {self.crop_frames}; "
                "leave out what need not change"
            )
        if self.precision not in PRECISIONS:
            raise UsageError(f"expected a precision of {' or '.join(PRECISIONS)}, got {self.precision!r}; give one")


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What an epoch came to."""

    epoch: int  # counted from 1
    loss: float
    seconds: float  # wall time of this epoch
    eer: dict[str, float]  # by dev corpus, at 2 s


class MarginSoftmax(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """Cosines to one weight vector per class, the true class pushed back by an angle.

    Call with [embedding (B, d), unit length; label (B,) int32]; gives logits (B, n_classes). Classes of
    other groups than the label's get a logit that no softmax sees.
    """

    def __init__(self, groups: NDArray[np.int32], scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups = groups
        self.scale = scale

    def build(self, input_shape: Any) -> None:
        """One weight vector per class, and the margin, which the training raises."""
        d = input_shape[0][-1]
        self.kernel = self.add_weight(shape=(d, len(self.groups)), initializer="glorot_uniform", name="kernel")
        self.margin = self.add_weight(shape=(), initializer="zeros", trainable=False, name="margin")
        self.group = self.add_weight(
            shape=(len(self.groups),), initializer="zeros", dtype="int32", trainable=False, name="group"
        )
        self.group.assign(self.groups)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        embedding, label = inputs
        cosine = ops.matmul(embedding, self.kernel / ops.norm(self.kernel, axis=0, keepdims=True))
        # Only the cosine of the true class is bent: the others are many.
        true = ops.take_along_axis(cosine, label[:, None], axis=1)
        true = ops.clip(true, -1 + 1e-6, 1 - 1e-6)
        pushed = true * ops.cos(self.margin) - ops.sqrt(1 - true * true) * ops.sin(self.margin)
        # Beyond pi - m the cosine turns round; a linear penalty keeps it falling.
        pushed = ops.where(true > -ops.cos(self.margin), pushed, true - self.margin * ops.sin(self.margin))
        logits = self.scale * (cosine + ops.one_hot(label, len(self.groups)) * (pushed - true))
        rival = ops.take(self.group, label)[:, None] == self.group[None, :]
        return ops.where(rival, logits, -1e4)


def distance_to_teacher(lesson: Any, guess: Any) -> Any:
    """1 - cosine (B,) between unit vectors (B, d), and 0 where the lesson is all zeros: nothing to learn."""
    return ops.sum(lesson * lesson, axis=-1) - ops.sum(lesson * guess, axis=-1)


def surprise(truth: Any, guess: Any) -> Any:
    """(B,) mean binary cross-entropy of (B, steps, 1) probabilities."""
    return ops.mean(ops.binary_crossentropy(truth, guess), axis=(1, 2))


def rivals(clips: Sequence[Clip], min_language: int) -> NDArray[np.int32]:
    """(n,) the group of each voice that says one of these clips: who competes with whom.

    Args:
        clips: one of every voice.
        min_language: voices of a language that make a group of their own within their corpus.
    """
    languages = Counter(clip.language for clip in clips)
    names = [
        clip.corpus + (f"/{clip.language}" if clip.language and languages[clip.language] >= min_language else "")
        for clip in clips
    ]
    return np.unique(names, return_inverse=True)[1].astype(np.int32)


def halfway_geometry(lesson: NDArray[np.floating]) -> NDArray[np.float64]:
    """(d, d) what embeddings are multiplied by, half-way between their own geometry and that of their teachers.

    Args:
        lesson: (d, m) the layer that predicts from an embedding what the teachers say.
    """
    left, scale, _ = np.linalg.svd(np.asarray(lesson, np.float64), full_matrices=False)
    geometry: NDArray[np.float64] = (left * np.sqrt(scale / scale.mean())) @ left.T
    return geometry


class Crops(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
    """Training batches. Batch `i` of epoch `e` is the same in every run: its randomness is drawn from both.

    Attributes:
        voices: whom it draws, the named ones first: the entries of each; the number of a voice is its label.
        groups: (named voices,) int32, who competes with whom.
        lessons: what teachers say; None without teachers.
    """

    def __init__(self, store: FeatureStore, clips: list[Clip], config: PretrainConfig) -> None:
        super().__init__(workers=1, max_queue_size=8)
        self._store, self._config = store, config
        self.epoch = 0
        self.lessons: Lessons | None = None
        entries: dict[tuple[bool, str, int], list[int]] = {}
        for i, (clip, speed, *_) in enumerate(store.entries):
            speaker = clips[clip].speaker
            entries.setdefault((not speaker, speaker or str(clips[clip].path), int(speed)), []).append(i)
        keys = sorted(entries)
        self.voices = [np.array(entries[key]) for key in keys]
        said_by = [clips[store.entries[own[0], 0]] for own in self.voices]
        named = [clip for clip in said_by if clip.speaker]
        self.groups = rivals(named, 3 * MIN_LANGUAGE_SPEAKERS)
        corpora = np.array([clip.corpus for clip in said_by])
        # A corpus is drawn with the root of its hours: much speech teaches more, yet no corpus drowns the others.
        rows = np.array([store.entries[own, 4].sum() for own in self.voices])
        self._corpora = [np.nonzero(corpora == corpus)[0] for corpus in sorted(set(corpora))]
        weights = np.sqrt([rows[members].sum() for members in self._corpora])
        self._weights = weights / weights.sum()

    def __len__(self) -> int:
        return self._config.steps_per_epoch

    def __getitem__(self, step: int) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], dict[str, Any]]:
        config = self._config
        rng = np.random.default_rng([config.seed, self.epoch, step])
        # By turns, not by chance: Keras learns from the first two batches which axes vary.
        n_frames = config.crop_frames[step % len(config.crop_frames)]
        voices = np.empty(config.batch_size, np.int32)
        mfcc = np.empty((config.batch_size, n_frames, config.network.n_mfcc), np.float32)
        speech = np.empty((config.batch_size, n_frames), np.float32)
        lessons = np.empty((config.batch_size, self.lessons.size if self.lessons else 0), np.float32)
        for row, corpus in enumerate(rng.choice(len(self._corpora), config.batch_size, p=self._weights)):
            members = self._corpora[corpus]
            voices[row] = members[rng.integers(len(members))]
            heard = self._draw(self.voices[voices[row]], n_frames, rng)
            parts = [self._store.read(*stretch) for stretch in heard]
            mfcc[row] = np.concatenate([rows for rows, _ in parts]) + self._channel(rng)
            speech[row] = np.concatenate([probability for _, probability in parts])
            if self.lessons:
                lessons[row] = self.lessons.of(int(voices[row]), heard)
        named = voices < len(self.groups)
        labels = np.where(named, voices, 0)  # of a voice without a name nothing is counted
        inputs = {"mfcc": mfcc, "share": speech, "label": labels}
        # As in the pooling, a step is as much speech as its frames are on average.
        voiced = speech.reshape(config.batch_size, -1, config.network.stride).mean(axis=-1, keepdims=True)
        targets: dict[str, NDArray[Any]] = {"voice": labels, "voiced": voiced}
        weights = {"voice": named.astype(np.float32), "voiced": np.ones(len(voices), np.float32)}
        if self.lessons:
            targets["lesson"] = lessons
            weights["lesson"] = np.ones(len(voices), np.float32)
        return inputs, targets, weights

    def _draw(self, entries: NDArray[np.int64], n_frames: int, rng: np.random.Generator) -> list[Stretch]:
        # Stretches of a voice that make so many frames: one-second words are joined.
        heard: list[Stretch] = []
        missing = n_frames
        while missing > 0:
            entry = int(entries[rng.integers(len(entries))])
            length = int(self._store.entries[entry, 4])
            first = int(rng.integers(max(1, length - missing + 1)))
            heard.append((entry, first, min(missing, length - first)))
            missing -= heard[-1][2]
        return heard

    def _channel(self, rng: np.random.Generator) -> NDArray[np.float32]:
        # A constant filter adds a constant to every cepstral row. A smooth one decays with the
        # quefrency; 1/k with this factor makes `channel_db` in the mean over the bands.
        n = self._config.network.n_mfcc
        to_cepstrum = math.sqrt(64)
        offset = rng.standard_normal(n)
        offset[0] *= to_cepstrum * self._config.gain_db
        offset[1:] *= to_cepstrum * self._config.channel_db / math.sqrt(math.pi**2 / 6) / np.arange(1, n)
        offset[1:] *= rng.uniform()
        return offset.astype(np.float32)


class Pretraining:
    """A training run that survives being killed: each finished epoch is on disk before the next begins.

    Args:
        config: how to train.
        store: the features of `clips`.
        clips: the training clips the store was built from, in the same order.
        dev: pieces of dev speech, 2 s each, on which every epoch is measured.
        folder: where checkpoints go.
        teacher: gives the lessons of the entries of the voices; see `model.teacher.read_teacher`.

    Raises:
        WeightsError: the folder holds a checkpoint of another configuration or of other voices.
    """

    def __init__(
        self,
        config: PretrainConfig,
        store: FeatureStore,
        clips: list[Clip],
        dev: list[Piece],
        folder: Path,
        teacher: Callable[[Sequence[NDArray[np.int64]]], Lessons] | None = None,
    ) -> None:
        keras.utils.set_random_seed(config.seed)
        self.config, self._dev = config, dev
        self._crops = Crops(store, clips, config)
        keras.config.set_dtype_policy(PRECISIONS[config.precision])
        try:
            self.encoder = build_encoder(config.network, fused=False)
        finally:
            keras.config.set_dtype_policy("float32")
        label = keras.Input((), dtype="int32", name="label")
        self._softmax = MarginSoftmax(self._crops.groups, config.scale, name="voice")
        embedding, voiced = (self.encoder.output[name] for name in ("embedding", "voiced"))
        outputs = {"voice": self._softmax([embedding, label]), "voiced": voiced}
        losses: dict[str, Any] = {
            "voice": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "voiced": surprise,
        }
        if teacher is not None:
            self._crops.lessons = teacher(self._crops.voices)
            self._lesson = keras.layers.Dense(self._crops.lessons.size, use_bias=False, name="lesson_dense")
            lesson = self._lesson(embedding)
            outputs["lesson"] = keras.layers.UnitNormalization(axis=-1, name="lesson")(lesson)
            losses["lesson"] = distance_to_teacher
        self._model = keras.Model({**self.encoder.input, "label": label}, outputs)
        steps = config.epochs * config.steps_per_epoch
        warm_up = min(500, steps // 10)
        rate = keras.optimizers.schedules.CosineDecay(
            config.learning_rate / 100,
            max(1, steps - warm_up),
            alpha=0.01,
            warmup_target=config.learning_rate,
            warmup_steps=warm_up,
        )
        self._model.compile(
            keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, clipnorm=5.0),
            losses,
            loss_weights={name: config.teacher_weight if name == "lesson" else 1.0 for name in losses},
            jit_compile="auto" if keras.backend.backend() == "jax" else False,
        )
        self._weights, self._progress = folder / "checkpoint.weights.h5", folder / "progress.json"
        self.history: list[EpochReport] = []
        folder.mkdir(parents=True, exist_ok=True)
        if self._progress.exists():
            self._resume()

    @property
    def parameters(self) -> int:
        """Parameters of the encoder alone."""
        return int(self.encoder.count_params())

    @property
    def classes(self) -> int:
        """Voices with a name, counted at every speed."""
        return len(self._crops.groups)

    @property
    def geometry(self) -> NDArray[np.float64] | None:
        """(d, d) what embeddings are multiplied by before they are compared; None where there is no teacher.

        The network learns to tell the training voices apart, its last layer W to see them as the teachers do.
        Where the first is better on voices that are like those, the second is on others: half-way between the
        two, cosines are those of (W W')^1/4 times the embedding.
        """
        if self._crops.lessons is None:
            return None
        return halfway_geometry(ops.convert_to_numpy(self._lesson.kernel))

    def _resume(self) -> None:
        try:
            saved = json.loads(self._progress.read_text(encoding="utf-8"))
            # A setting that the checkpoint is too old to know has its default.
            known = asdict(PretrainConfig()) | saved["config"]
            alike = json.dumps(known, sort_keys=True) == json.dumps(asdict(self.config), sort_keys=True)
            if alike:
                self._model.optimizer.build(self._model.trainable_variables)
                self._model.load_weights(self._weights)
                self.history = [EpochReport(**report) for report in saved["history"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"expected a checkpoint of {self.classes} voices in {self._progress.parent}, got: {one_line(error)}; "
                "give the corpus that it was trained on, or another --work folder"
            ) from error
        if not alike:
            raise WeightsError(
                f"expected a checkpoint of this configuration in {self._progress.parent}, found another one's; "
                "give the same options, or another --work folder"
            )

    def run(self, on_step: Callable[[int, float], None], on_epoch: Callable[[EpochReport], None]) -> None:
        """Train what is left.

        Args:
            on_step: called with (steps done in all, loss of the epoch so far) after every step.
            on_epoch: called after every epoch, when its checkpoint is safe.
        """
        config = self.config
        for epoch in range(len(self.history), config.epochs):
            start = time.monotonic()
            self._crops.epoch = epoch
            self._softmax.margin.assign(config.margin * min(1.0, 3 * epoch / config.epochs))
            done = epoch * config.steps_per_epoch
            step = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs, done=done: on_step(done + batch + 1, float(logs["loss"]))
            )
            fitted = self._model.fit(self._crops, epochs=1, verbose=0, callbacks=[step], shuffle=False)
            eer = {trials.corpus: trials.eer for trials in self.trials()}
            report = EpochReport(epoch + 1, float(fitted.history["loss"][-1]), time.monotonic() - start, eer)
            self.history.append(report)
            self._save()
            on_epoch(report)

    def trials(self) -> list[Trials]:
        """The dev trials, scored by the encoder as it is now."""
        if not self._dev:
            return []
        inputs = {"mfcc": np.stack([p.mfcc for p in self._dev]), "share": np.stack([p.speech for p in self._dev])}
        embeddings = self.encoder.predict(inputs, batch_size=64, verbose=0)["embedding"]
        if (geometry := self.geometry) is not None:
            embeddings = embeddings @ geometry
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        return make_trials(self._dev, embeddings)

    def _save(self) -> None:
        # Written beside and renamed, weights first: a kill between the two repeats one epoch.
        beside = self._weights.with_name("new.weights.h5")
        self._model.save_weights(beside)
        beside.replace(self._weights)
        progress = {"config": asdict(self.config), "history": [asdict(report) for report in self.history]}
        partial = self._progress.with_suffix(".new")
        partial.write_text(json.dumps(progress))
        partial.replace(self._progress)
