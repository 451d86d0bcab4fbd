"""The usual way: at every decision, MFCC of the whole window by librosa, and the Keras network on them.

A program of its own: `python -m model.usual SOUND.npy`, with (n,) mono samples at 16 kHz; it answers as `model.peer`
does. The window is 2 s, where the live path embeds four of up to 4 s, and nobody is scored.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.peer import answer
from stream.clock import SAMPLE_RATE
from stream.mfcc import MfccConfig

FRAMES = 200  # 2 s; the network takes two at a time


def features(sound: NDArray[np.float32], end: int, config: MfccConfig) -> NDArray[np.float32]:
    """(FRAMES, n_mfcc) of the window whose last sample is the one before `end`."""
    import librosa

    mel = librosa.feature.melspectrogram(
        y=sound[end - samples_of(config) : end],
        sr=SAMPLE_RATE,
        n_fft=config.n_fft,
        win_length=config.win_length,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin_hz,
        fmax=config.fmax_hz,
        center=False,
    )
    rows: NDArray[np.float32] = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=config.n_mfcc).T
    return rows


def samples_of(config: MfccConfig) -> int:
    """Samples in a window."""
    return config.n_fft + (FRAMES - 1) * config.hop_length


def main() -> None:
    """Ready the network, called as it is and as a graph; then answer."""
    import keras
    import tensorflow as tf

    from model.encoder import Encoder
    from model.network import load_encoder

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    weights = Encoder.load().weights
    network = load_encoder(weights)
    sound: NDArray[np.float32] = np.load(sys.argv[1], allow_pickle=False)
    share = np.ones((1, FRAMES), np.float32)

    def way(call: Callable[..., Any]) -> Callable[[int], object]:
        def decide(end: int) -> object:
            mfcc = features(sound, end, weights.mfcc)[None]
            return keras.ops.convert_to_numpy(call({"mfcc": mfcc, "share": share})["embedding"])

        for _ in range(3):  # the first calls trace and compile
            decide(samples_of(weights.mfcc))
        return decide

    graph = tf.function(network)
    answer({"librosa and Keras, Model.__call__": way(network), "librosa and Keras, tf.function": way(graph)})


if __name__ == "__main__":
    main()
