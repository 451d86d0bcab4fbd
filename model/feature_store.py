"""Training features on disk: every clip, at every speed, clean and augmented, computed once.

Augmenting sound costs more than training on it, so it is done once, in shards that are written whole and
renamed into place: a build that was killed goes on where it stopped. Rows are 16-bit floats, mapped
rather than loaded.
"""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from model.augment import augment, change_speed, simulate_rooms
from model.corpus import NOISE, Clip, name_in, read_audio
from model.silero import speech_of_rows
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, UsageError, WeightsError
from stream.mfcc import Mfcc, MfccConfig
from stream.records import Block

__all__ = [
    "FeatureStore",
    "StoreConfig",
    "build_store",
    "clip_rows",
    "mel_filter_bank",
    "to_target_level",
    "within_silence",
]

Samples = NDArray[np.float32]

SHARD_CLIPS = 256
EDGE_FRAMES = 10  # silence kept at both ends of a clip
MIN_SPEECH_FRAMES = 30  # a clip with less speech teaches nothing
MIN_SAMPLES = SAMPLE_RATE // 4
TARGET_RMS = 0.1  # every clip is brought to this level; the training varies it again


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """What a store holds. A store made with other settings is refused, not mixed."""

    mfcc: MfccConfig = field(default_factory=MfccConfig)
    speeds: tuple[float, ...] = (1.0, 0.9, 1.1, 0.82, 1.2)  # each but 1 makes another speaker
    copies: int = 2  # of every clip at every speed: the first as it came, the others augmented
    rooms: int = 200  # simulated rooms
    made_noises: int = 400  # sounds of 5 s beside the recorded noises; see `model.made_noise`
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.speeds or min(self.speeds) <= 0 or self.copies < 1 or min(self.rooms, self.made_noises) < 0:
            raise UsageError(
                "expected at least one speed, all above 0, one copy and no negative number of rooms and noises, got "
                f"{self.speeds}, {self.copies}, {self.rooms} and {self.made_noises}; leave out what need not change"
            )


def mel_filter_bank(config: MfccConfig) -> NDArray[np.float32]:
    """(n_mels, n_fft // 2 + 1): librosa's, which is Slaney's (Auditory Toolbox, 1998)."""
    from librosa.filters import mel

    bank: NDArray[np.float32] = mel(
        sr=SAMPLE_RATE, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.fmin_hz, fmax=config.fmax_hz
    )
    return bank


def clip_rows(
    samples: NDArray[np.float32], config: MfccConfig, bank: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """MFCC rows (n, n_mfcc) and speech probabilities (n,) of a whole clip of at least a frame."""
    (frames,) = Mfcc(config, bank).push(Block(0, samples))
    return frames.mfcc, speech_of_rows(samples, config)


def to_target_level(samples: Samples) -> Samples:
    """(n,) at the level that every clip is brought to."""
    return samples * np.float32(TARGET_RMS / (np.sqrt(np.mean(samples**2)) + 1e-6))


def within_silence(speech: NDArray[np.floating]) -> tuple[int, int] | None:
    """From which row up to which a clip is used, without its silent ends; None if it has too little speech.

    Args:
        speech: (rows,) how probably each is speech.
    """
    (loud,) = np.nonzero(speech > 0.5)
    if len(loud) < MIN_SPEECH_FRAMES:
        return None
    return max(0, int(loud[0]) - EDGE_FRAMES), min(len(speech), int(loud[-1]) + EDGE_FRAMES)


class _Worker:
    """What one process needs for every shard: the filter bank, noises, other voices, rooms."""

    def __init__(self, config: StoreConfig, noises: list[Samples], voices: list[Samples], rooms: list[Samples]) -> None:
        self.config = config
        self.mel = mel_filter_bank(config.mfcc)
        self.noises, self.voices, self.rooms = noises, voices, rooms

    def copies(self, clip: Clip, rng: np.random.Generator) -> Iterator[tuple[float, int, Samples, Samples]]:
        """(speed, rows left out before them, MFCC, speech) of every copy of a clip, its silent ends cut off."""
        samples = read_audio(clip.path)
        if len(samples) < MIN_SAMPLES:
            return
        samples = to_target_level(samples)
        # Judged before noise is added: the network learns to hear the voice where it really is.
        speech = speech_of_rows(samples, self.config.mfcc)
        used, babble = within_silence(speech), self.voices
        if clip.corpus == NOISE:
            used, speech, babble = (0, len(speech)), np.zeros_like(speech), []
        if used is None:
            return
        first, last = used
        for speed in self.config.speeds:
            spoken = change_speed(samples, speed)
            for copy in range(self.config.copies):
                sound = augment(spoken, self.noises, babble, self.rooms, rng) if copy else spoken
                (rows,) = Mfcc(self.config.mfcc, self.mel).push(Block(0, sound))
                at = np.minimum(np.arange(len(rows.mfcc)) * speed, len(speech) - 1).round().astype(int)
                keep = slice(round(first / speed), round(last / speed))
                yield speed, keep.start, rows.mfcc[keep], speech[at][keep]

    def write(self, number: int, clips: list[tuple[int, Clip]], folder: Path) -> list[str]:
        """Write one shard; says which files could not be read."""
        rng = np.random.default_rng([self.config.seed, number])
        mfcc, speech, index, skipped = [], [], [], []
        for i, clip in clips:
            try:
                for speed, before, rows, heard in self.copies(clip, rng):
                    index.append((i, round(speed * 100), len(rows), before))
                    mfcc.append(rows.astype(np.float16))
                    speech.append(heard.astype(np.float16))
            except FileError as error:
                skipped.append(str(error))
        partial = folder / f"partial-{number:04d}"
        partial.mkdir(exist_ok=True)
        (partial / "skipped.json").write_text(json.dumps(skipped))
        np.save(partial / "mfcc.npy", np.concatenate(mfcc or [np.empty((0, self.config.mfcc.n_mfcc), np.float16)]))
        np.save(partial / "speech.npy", np.concatenate(speech or [np.empty(0, np.float16)]))
        np.save(partial / "index.npy", np.array(index, np.int64).reshape(-1, 4))
        os.replace(partial, folder / f"shard-{number:04d}")
        return skipped


_worker: _Worker


def _start(config: StoreConfig, noises: list[Samples], voices: list[Samples], rooms: list[Samples]) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    Thread(target=_die_with_parent, daemon=True).start()
    _worker = _Worker(config, noises, voices, rooms)


def _die_with_parent() -> None:
    # A parent that was killed cannot end its workers; they would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write(number: int, clips: list[tuple[int, Clip]], folder: Path) -> list[str]:
    return _worker.write(number, clips, folder)


def build_store(
    folder: Path, clips: list[Clip], noises: list[Path], config: StoreConfig, *, processes: int | None = None
) -> Generator[tuple[int, int, list[str]], None, None]:
    """Write the missing shards of a store.

    Args:
        folder: where the store is, or will be.
        clips: the training clips, in an order that stays the same; those of the corpus `noise` hold no speech.
        noises: audio files of noise.
        config: what the store holds.
        processes: how many work at once; one per core unless told.

    Yields:
        (shards written, shards in all, lines about files that could not be read), as it goes on; the lines
        of an earlier run come again.

    Raises:
        UsageError: rooms are asked for and cannot be simulated.
        WeightsError: the folder holds a store of other clips or settings, or a worker was killed.
    """
    _describe(folder, clips, noises, config)
    order = np.random.default_rng(config.seed).permutation(len(clips))
    shards = [[(int(i), clips[i]) for i in order[at : at + SHARD_CLIPS]] for at in range(0, len(clips), SHARD_CLIPS)]
    missing = [n for n in range(len(shards)) if not (folder / f"shard-{n:04d}").exists()]
    done = len(shards) - len(missing)
    yield done, len(shards), [line for n in range(len(shards)) if n not in missing for line in _skipped(folder, n)]
    if not missing:
        return
    for partial in folder.glob("partial-*"):  # of a run that was killed
        shutil.rmtree(partial)
    speech = [clips[i].path for i in order if clips[i].corpus != NOISE]
    # What cannot be read is named when its own shard is written.
    noise, voices = _read(noises), _read(speech[:64])
    rooms = simulate_rooms(config.rooms, np.random.default_rng(config.seed))
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes or os.cpu_count() or 1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(config, noise, voices, rooms),
    )
    try:
        with _single_threaded():
            futures = [pool.submit(_write, n, shards[n], folder) for n in missing]
        for future in as_completed(futures):
            lines = future.result()
            done += 1
            yield done, len(shards), lines
    except BrokenProcessPool as error:
        raise WeightsError(
            f"expected {len(shards)} shards of features, a worker ended after {done}, perhaps for want of memory; "
            "run again to go on from there"
        ) from error
    except BaseException:  # stopped half-way: nobody waits for shards that take a minute
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _describe(folder: Path, clips: list[Clip], noises: list[Path], config: StoreConfig) -> None:
    # What a store was made from stands in it, before its first shard.
    # What was made lies beside it, and may be moved with it.
    beside = folder.parent
    made_from = {
        "config": asdict(config),
        "clips": [name_in(beside, clip.path) for clip in clips],
        "noises": [name_in(beside, path) for path in noises],
    }
    wanted = json.dumps(made_from, sort_keys=True)
    folder.mkdir(parents=True, exist_ok=True)
    description = folder / "store.json"
    if description.exists():
        if description.read_text(encoding="utf-8") != wanted:
            raise WeightsError(
                f"expected the features of this corpus in {folder}, found those of other clips, noises or settings; "
                "give the same ones, or another --work folder"
            )
        return
    partial = folder / "store.json.new"
    partial.write_text(wanted, encoding="utf-8")
    partial.replace(description)


def _skipped(folder: Path, number: int) -> list[str]:
    with suppress(OSError, ValueError):
        return [str(line) for line in json.loads((folder / f"shard-{number:04d}" / "skipped.json").read_text())]
    return []


def _read(paths: list[Path]) -> list[Samples]:
    sounds = []
    for path in paths:
        with suppress(FileError):
            sounds.append(read_audio(path))
    return sounds


@contextmanager
def _single_threaded() -> Iterator[None]:
    # Read by the libraries of a process as it starts. There is a process per core already.
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class FeatureStore:
    """Reads a finished store.

    Attributes:
        entries: (n, 6) int64: clip, speed in per cent, shard, first row, number of rows, and how many rows the clip
            has before them.
    """

    def __init__(self, folder: Path) -> None:
        shards = sorted(folder.glob("shard-*"))
        if not shards:
            raise WeightsError(f"expected training features in {folder}, found none; run pretrain from the start")
        # Mapped, yet plain arrays: slicing a `memmap` costs more than what is read.
        self._mfcc = [np.asarray(np.load(shard / "mfcc.npy", mmap_mode="r")) for shard in shards]
        self._speech = [np.asarray(np.load(shard / "speech.npy", mmap_mode="r")) for shard in shards]
        entries = []
        for number, shard in enumerate(shards):
            index = np.load(shard / "index.npy")
            first = np.concatenate([[0], np.cumsum(index[:, 2])[:-1]]) if len(index) else np.empty(0, np.int64)
            shard_of = np.full(len(index), number)
            entries.append(np.stack([index[:, 0], index[:, 1], shard_of, first, index[:, 2], index[:, 3]], axis=1))
        self.entries: NDArray[np.int64] = np.concatenate(entries)

    def read(self, entry: int, first: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rows [first, first + n) of an entry, as far as there are: MFCC (m, n_mfcc), speech (m,)."""
        _, _, shard, at, length, _ = self.entries[entry]
        keep = slice(at + first, at + min(first + n, length))
        return self._mfcc[shard][keep].astype(np.float32), self._speech[shard][keep].astype(np.float32)
