"""Profiles, voices and sounds for tests."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from model.profile import BaseModel, Profile
from stream.text import safe_text

BASE = BaseModel("ab" * 32, {"n_mfcc": 30, "hop_ms": 10, "fmax_hz": 7600.5})
OTHER = BaseModel("cd" * 32, BASE.features)

posix = pytest.mark.skipif(os.name == "nt", reason="modes, signals and limits of POSIX")


def vectors(seed: int, n: int = 3, d: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def sound(seed: int, n: int = 1600) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, n).astype(np.float32)


def embed(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A base model that hears where the first sample is."""
    row = np.zeros((1, 4), np.float32)
    row[0, int((samples[0] + 1) * 2)] = 1
    return row, np.array([len(samples) / 16_000], np.float32)


def state(profile: Profile) -> list[tuple]:
    return [
        (voice.name, voice.vectors.tobytes(), voice.vectors.shape, voice.speech_s.tobytes(), voice.has_audio)
        for voice in profile.voices
    ]


def data_files(folder: Path) -> set[str]:
    return {file.name for kind in ("voices", "audio") for file in (folder / kind).iterdir()}


def named_files(folder: Path) -> set[str]:
    people = json.loads((folder / "profile.json").read_text())["people"]
    audio = {r["audio"] for person in people for r in person["references"] if r["audio"]}
    return audio | {person["voice"] for person in people}


def one_line(message: str) -> None:
    assert len(message.splitlines()) == 1
    assert safe_text(message) == message


def refused(error: pytest.ExceptionInfo[BaseException], *words: str) -> None:
    one_line(str(error.value))
    for word in words:
        assert word in str(error.value)


def two_people(folder: Path) -> Path:
    """A new profile of Ann, with sound, and Bo."""
    profile = Profile(folder, BASE)
    profile.add("Ann", vectors(1), [3.0, 2.5, 0.1], [sound(1), sound(2), sound(3)])
    profile.add("Bo", vectors(2, n=1), [4.0])
    return folder
