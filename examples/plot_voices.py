"""What the network is given, and what it makes of it: the MFCC of a recording, and voices in two dimensions.

    python examples/plot_voices.py voices.png Ann=ann.wav Ben=ben.flac ...

Above, the features of the first recording. Below, the embedding of every window of 2 s of speech, reduced from 192
dimensions to two by principal components: windows of one voice should lie together.
"""

import sys

import matplotlib as mpl
import numpy as np
import soundfile as sf

mpl.use("Agg")
from matplotlib import pyplot as plt

from model import Encoder
from stream import SAMPLE_RATE, Block
from stream.resample import Resampler

WINDOW = 2  # of the encoder's windows of 0.5, 1, 2 and 4 s


def heard(encoder: Encoder, path: str) -> tuple[np.ndarray, np.ndarray]:
    """MFCC (rows, 60), a row per 10 ms, and embeddings (n, 192), one per second of speech."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    resampler, mfcc, stream = Resampler(rate), encoder.mfcc(), encoder.stream()
    block = Block(0, samples.mean(axis=1), rate)
    frames = [rows for sound in [*resampler.push(block), *resampler.flush()] for rows in mfcc.push(sound)]
    hops = [hop for rows in frames for hop in stream.push(rows)]
    spoken = [hop.vectors[WINDOW] for hop in hops if hop.speech_s[WINDOW] > 1.8]
    return np.concatenate([rows.mfcc for rows in frames]), np.stack(spoken[::10])


def main() -> None:
    picture, *people = sys.argv[1:]
    encoder = Encoder.load()
    files = dict(person.split("=", 1) for person in people)
    found = {name: heard(encoder, path) for name, path in files.items()}

    vectors = np.concatenate([embeddings for _, embeddings in found.values()])
    mean = vectors.mean(axis=0)
    _, spread, axes = np.linalg.svd(vectors - mean, full_matrices=False)  # principal components
    share = spread[:2] ** 2 / (spread**2).sum()

    figure, (above, below) = plt.subplots(2, figsize=(9, 10), height_ratios=(1, 2), layout="constrained")
    name, (rows, _) = next(iter(found.items()))
    extent = (0, len(rows) * encoder.weights.mfcc.hop_length / SAMPLE_RATE, -0.5, rows.shape[1] - 0.5)
    shown = (rows - rows.mean(axis=0)) / rows.std(axis=0)  # the first coefficients are far larger than the last
    above.imshow(shown.T, aspect="auto", origin="lower", extent=extent, vmin=-2, vmax=2)
    above.set(title=f"MFCC of {name}, in deviations from their mean", xlabel="s", ylabel="coefficient")
    for name, (_, embeddings) in found.items():
        x, y = ((embeddings - mean) @ axes[:2].T).T
        below.scatter(x, y, label=f"{name} ({len(x)})", alpha=0.7)
    below.set(title="embeddings", xlabel=f"{share[0]:.0%} of the variance", ylabel=f"{share[1]:.0%}")
    below.legend()
    figure.savefig(picture, dpi=120)
    # In all 192 dimensions, not in the two of the picture:
    owner = np.repeat(np.arange(len(found)), [len(embeddings) for _, embeddings in found.values()])
    cosines, same = vectors @ vectors.T, owner[:, None] == owner
    np.fill_diagonal(same, val=False)
    others = f", of two voices {cosines[owner[:, None] != owner].mean():.2f}" if len(found) > 1 else ""
    print(f"{picture}: mean cosine of two windows of one voice {cosines[same].mean():.2f}{others}")


if __name__ == "__main__":
    main()
