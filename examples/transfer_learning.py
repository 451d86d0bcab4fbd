"""Transfer learning for voices, step by step; `livespeaker fine-tune` does the same for a profile, and more.

    python examples/transfer_learning.py people new.wav      # people/Ann/*.wav, people/Ben/*.wav, ...

Features, a pretrained network without its last layer, a new softmax, a split, fit with validation, predict.
"""

import sys
from pathlib import Path

import keras
import librosa
import numpy as np
from sklearn.model_selection import train_test_split

from model.encoder import Encoder
from model.network import load_encoder

weights = Encoder.load().weights
mfcc = weights.mfcc
FRAMES = 200  # 2 s


def windows(file: Path) -> np.ndarray:
    """(n, frames, n_mfcc): the features that the network was trained on, whole windows and not their mean."""
    samples, _ = librosa.load(file, sr=16_000)
    samples = np.pad(samples, (0, max(0, FRAMES * mfcc.hop_length + mfcc.n_fft - len(samples))))
    power = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=mfcc.n_fft, win_length=mfcc.win_length, hop_length=mfcc.hop_length, center=False,
        n_mels=mfcc.n_mels, fmin=mfcc.fmin_hz, fmax=mfcc.fmax_hz,
    )  # fmt: skip
    rows = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=mfcc.n_mfcc).T
    return np.stack([rows[at : at + FRAMES] for at in range(0, len(rows) - FRAMES + 1, FRAMES // 4)])


people = sorted(folder for folder in Path(sys.argv[1]).iterdir() if folder.is_dir())
files = [(file, number) for number, person in enumerate(people) for file in sorted(person.iterdir())]

# Recordings are split, not windows: two windows of one recording are too alike to try one on the other.
train, held_out = train_test_split(files, test_size=0.3, stratify=[number for _, number in files], random_state=0)

network = load_encoder(weights)  # it ends with an embedding: its own softmax, over other voices, is gone
network.trainable = False
new = keras.layers.Dense(len(people), "softmax")(network.output["embedding"])
model = keras.Model(network.input, new)
model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])


def examples(some: list[tuple[Path, int]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    x, y = zip(*((window, number) for file, number in some for window in windows(file)), strict=True)
    return {"mfcc": np.stack(x), "share": np.ones((len(x), FRAMES), np.float32)}, np.array(y)


stop = keras.callbacks.EarlyStopping("val_loss", min_delta=0.01, patience=5, restore_best_weights=True)
model.fit(*examples(train), validation_data=examples(held_out), epochs=60, callbacks=[stop], verbose=2)

chances = model.predict(examples([(Path(sys.argv[2]), 0)])[0], verbose=0).mean(axis=0)
print(f"{sys.argv[2]}: {people[chances.argmax()].name}, {100 * chances.max():.0f} %, if it is one of them at all")
