"""Ask Resemblyzer what it thinks of every training clip, for `livespeaker pretrain --teacher FILE`.

Needs an environment of its own: pip install torch Resemblyzer soundfile soxr. Resemblyzer's network (GE2E,
Apache-2.0) learned from LibriSpeech train-other, VoxCeleb 1 and 2. It is never needed to run livespeaker.

    python examples/ask_teacher.py CORPUS teacher.npz
"""

import csv
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from resemblyzer import VoiceEncoder, normalize_volume
from resemblyzer.audio import wav_to_mel_spectrogram

RATE, WINDOW, HOP, LONGEST_S = 16_000, 160, 80, 16  # frames of 10 ms: windows of 1.6 s, half overlapping


def windows(file: Path) -> np.ndarray:
    """(n, WINDOW, 40) mel windows of a clip, its quiet ends cut off."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, RATE)[: LONGEST_S * RATE]
    power = np.convolve(mono**2, np.ones(400) / 400, "same")
    (loud,) = np.nonzero(power > power.max(initial=0.0) * 1e-3)
    if len(loud) < RATE // 4:
        return np.empty((0, WINDOW, 40), np.float32)
    mel = wav_to_mel_spectrogram(normalize_volume(mono[loud[0] : loud[-1] + 1], -30, increase_only=True))
    if len(mel) < WINDOW:  # a short word is said again
        mel = np.resize(mel, (WINDOW, 40))
    return np.stack([mel[at : at + WINDOW] for at in range(0, len(mel) - WINDOW + 1, HOP)])


def main() -> None:
    """Embed every training clip of a manifest."""
    corpus, out = Path(sys.argv[1]), Path(sys.argv[2])
    encoder = VoiceEncoder("cpu", verbose=False)
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["split"] == "train" and row["speaker"]]
    known, vectors = [], []
    for i, path in enumerate(paths):
        found = windows(corpus / path)
        if len(found):
            with torch.no_grad():
                mean = encoder(torch.from_numpy(found)).numpy().mean(axis=0)
            known.append(path)
            vectors.append(mean / np.linalg.norm(mean))
        if i % 500 == 0:
            print(f"{i} of {len(paths)}", flush=True)
    np.savez(out, path=np.array(known), vector=np.array(vectors, np.float32))


if __name__ == "__main__":
    main()
