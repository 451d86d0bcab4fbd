"""Speakers of hiss: clips whose speech is known, no two of whose stretches are alike."""

from pathlib import Path

import numpy as np
import soundfile as sf

from model.corpus import Clip
from stream.clock import SAMPLE_RATE


def speech_like(seconds: float, seed: int, *, word_s: float = 1.0, pause_s: float = 0.3) -> np.ndarray:
    """Words of hiss with silence before, between and after them: (n,) float32, the hiss 20 dB below full scale."""
    rng = np.random.default_rng(seed)
    word, pause = round(word_s * SAMPLE_RATE), round(pause_s * SAMPLE_RATE)
    period = word + pause
    samples = rng.normal(0.0, 1e-5, round(seconds / (word_s + pause_s)) * period + pause).astype(np.float32)
    for at in range(pause, len(samples), period):
        samples[at : at + word] += rng.normal(0.0, 0.1, word).astype(np.float32)
    return samples


def write_speakers(folder: Path, names: str, clips: int = 6, seconds: float = 6.5) -> dict[str, list[Clip]]:
    """A corpus of speakers called by one letter each, with clips of their own."""
    speakers: dict[str, list[Clip]] = {}
    for name in names:
        for i in range(clips):
            path = folder / name / f"{name}{i}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, speech_like(seconds, 1_000 * ord(name) + i), SAMPLE_RATE, subtype="PCM_24")
            speakers.setdefault(name, []).append(Clip(path, folder.name, name, "dev"))
    return speakers
