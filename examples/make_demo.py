"""Make the sound of `livespeaker demo`: three enrolled voices, a stranger, two noises; all synthetic.

Nobody speaks here. Every voice is the speech synthesiser `flite` (Debian: apt install flite):

    python examples/make_demo.py            writes the files that ship in stream/demo
    python examples/make_demo.py --out DIR  writes them elsewhere

Each sentence is trimmed to its speech before it is placed, so the reference turns (RTTM) are where speech
really begins and ends. The same flite, numpy and libsndfile with the same seed give the same bytes.
"""

import argparse
import io
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from stream.clock import SAMPLE_RATE, seconds_to_samples
from stream.records import UNKNOWN, Turn
from stream.rttm import format_rttm

Sound = NDArray[np.float64]

# Who speaks with which voice of flite, and at what level (dBFS, RMS of the loud parts): nobody sits equally far
# from the microphone. The stranger is the voice made in another way (diphones; the others are statistical models).
VOICES = {"Angus": ("awb", -23.0), "Rob": ("rms", -24.5), "Sally": ("slt", -21.5), UNKNOWN: ("kal16", -23.5)}
ROOM_DB = -60.0  # dBFS: what a quiet room leaves in a recording; silence is never digital
KNOCK, RING = "<knock>", "<ring>"
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # the bits of each byte, last first

# Seconds of pause before it, who, what.
SCENE = [
    (0.8, "Sally", "Good morning, both of you. Shall we try the new program on a real conversation?"),
    (0.6, "Rob", "Yes please. It listens to the microphone, and shows us who is speaking."),
    (0.5, "Angus", "And it does all of that on my old laptop? Nothing is sent anywhere?"),
    (0.4, "Sally", "Nothing at all, I promise."),
    (0.7, "Rob", "You read to it for a few seconds, and then it knows your voice, from the microphone or from a file."),
    (0.5, KNOCK, ""),
    (0.5, "Angus", "Come in, the door is open."),
    (1.0, UNKNOWN, "Sorry to disturb you. I am looking for the room with the coffee machine."),
    (0.6, "Sally", "It is down the hall, the second door on the left. Have you seen our little experiment?"),
    (0.8, UNKNOWN, "I can see myself on your screen, and there I am called unknown."),
    (0.4, "Rob", "That is how it should be, because it has never heard you before."),
    (0.5, "Angus", "Better to say that it does not know than to make up a name."),
    (0.6, "Sally", "And whose name does it show when a telephone rings?"),
    (0.4, RING, ""),
    (0.5, "Angus", "Nobody at all, as you can see."),
    (0.9, UNKNOWN, "Then I will leave you to your work, and thank you for the directions."),
    (1.2, "Rob", "Goodbye! It even adds up how long each of us has been talking."),
    (0.3, "Sally", "In that case, I had better be quiet now."),
]

# What each person reads to the program beforehand; nothing of it is said in the scene.
READINGS = {
    "Angus": [
        "The ferry to the islands leaves every hour, unless the wind is strong.",
        "My grandfather kept a garden with roses, beans, and a very lazy tortoise.",
        "Five young foxes jumped over the stone wall, and vanished in the fog.",
        "Please put the heavy boxes near the window, and the light ones upstairs.",
    ],
    "Rob": [
        "On weekdays the bakery around the corner opens before sunrise.",
        "We measured the bridge twice, and both times the figures were the same.",
        "A large brown dog slept under the kitchen table through the whole storm.",
        "If the train is late again, we could walk along the river to the museum.",
    ],
    "Sally": [
        "The orchestra tuned their instruments while the audience found its chairs.",
        "Last summer we painted the fence yellow, and the neighbours laughed about it.",
        "Could you bring some fresh bread, a jar of honey, and six oranges?",
        "Every child in the village knew the path that led through the dark wood.",
    ],
}


def decibels(gain_db: float) -> float:
    """The factor that `gain_db` means."""
    return float(10 ** (gain_db / 20))


def say(voice: str, text: str) -> Sound:
    """What flite makes of `text`, without the rumble and offset below 60 Hz that some of its voices have."""
    flite = shutil.which("flite")
    if flite is None:
        raise SystemExit("make_demo needs the speech synthesiser flite and found none; install it: apt install flite")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "say.wav"
        command = [flite, "-voice", voice, "-t", text, "-o", str(wav)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"flite failed with exit code {done.returncode}: {' '.join(done.stderr.split())}")
        samples, rate = sf.read(wav)
    if rate != SAMPLE_RATE or samples.ndim != 1:  # for a voice that it does not have, flite takes one of 8 kHz
        raise SystemExit(f"wanted mono at {SAMPLE_RATE} Hz from flite, got {rate} Hz; flite -lv must list {voice}")
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    clean: Sound = np.fft.irfft(spectrum * np.clip((hertz - 40) / 40, 0, 1), len(samples))
    return clean


def speak(name: str, text: str) -> Sound:
    """`text` by the voice of `name`, at that voice's level, from the first to the last 5 ms that hold speech."""
    voice, level_db = VOICES[name]
    samples = say(voice, text)
    frame = SAMPLE_RATE // 200
    power = (samples[: len(samples) // frame * frame].reshape(-1, frame) ** 2).mean(axis=1)
    level = float(np.sqrt(power[power > power.max() * decibels(-25) ** 2].mean()))
    # 30 dB under its own level speech still stands out of the room; what flite adds around it is 40 dB under.
    loud = np.flatnonzero(power > (level * decibels(-30)) ** 2)
    return samples[loud[0] * frame : (loud[-1] + 1) * frame] * (decibels(level_db) / level)


def knock(random: np.random.Generator) -> Sound:
    """Three knocks on a door, 1.2 s: a burst of noise, and two low resonances of the wood."""
    seconds = np.arange(seconds_to_samples(0.4)) / SAMPLE_RATE
    # Longer and higher resonances sound more like wood, and like a vowel: the speech detector rose to 0.9.
    wood = np.exp(-seconds / 0.02) * (np.sin(2 * np.pi * 110 * seconds) + np.sin(2 * np.pi * 175 * seconds))
    burst = 2 * random.normal(size=len(seconds)) * np.exp(-seconds / 0.008)
    return np.tile(0.07 * (wood + burst), 3)


def ring() -> Sound:
    """Two beeps of an office telephone, 1.4 s."""
    seconds = np.arange(seconds_to_samples(0.7)) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 1_400 * seconds) + 0.5 * np.sin(2 * np.pi * 2_100 * seconds)
    return np.tile(tone * np.clip(np.minimum(seconds, 0.45 - seconds) / 0.01, 0, 1) * 0.03, 2)


def room(n: int, random: np.random.Generator) -> Sound:
    """The tone of a quiet room: noise that falls off above 300 Hz."""
    hertz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    tone: Sound = np.fft.irfft(np.fft.rfft(random.normal(size=n)) / np.hypot(1, hertz / 300), n)
    return tone * (decibels(ROOM_DB) / float(tone.std()))


def write(path: Path, samples: Sound) -> None:
    """Ogg Opus at about 32 kbit/s: half of what FLAC takes, and decoded without delay, sample for sample."""
    file = io.BytesIO()
    sf.write(file, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=0.9)
    path.write_bytes(with_serial_number_1(file.getvalue()))


def with_serial_number_1(ogg: bytes) -> bytes:
    """The same stream under a fixed number; libsndfile draws one, and no two files would be alike (RFC 3533, 6)."""
    pages, at = bytearray(ogg), 0
    while at < len(pages):
        body = at + 27 + pages[at + 26]
        end = body + sum(pages[at + 27 : body])
        pages[at + 14 : at + 18] = (1).to_bytes(4, "little")
        pages[at + 22 : at + 26] = bytes(4)  # the checksum is taken with zeros in its place
        # Ogg's checksum is zlib's with every byte read from its other end, begun and ended with 0.
        checksum = zlib.crc32(pages[at:end].translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        pages[at + 22 : at + 26] = checksum.to_bytes(4, "big").translate(MIRRORED)
        at = end
    return bytes(pages)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "stream" / "demo", help="folder")
    parser.add_argument("--seed", type=int, default=0, help="of the room and the knock")
    options = parser.parse_args(arguments)
    random = np.random.default_rng(options.seed)
    (options.out / "enrol").mkdir(parents=True, exist_ok=True)

    pieces, turns, now = [], [], 0
    for pause_s, who, text in SCENE:
        piece = knock(random) if who == KNOCK else ring() if who == RING else speak(who, text)
        silence = np.zeros(seconds_to_samples(pause_s))
        start, now = now + len(silence), now + len(silence) + len(piece)
        pieces += [silence, piece]
        if who in VOICES:
            turns.append(Turn(start, now, who, probability=1.0, final=True))
    conversation = np.concatenate([*pieces, np.zeros(SAMPLE_RATE)])
    write(options.out / "conversation.opus", conversation + room(len(conversation), random))
    reference = "".join(f"{format_rttm(turn, 'conversation')}\n" for turn in turns)
    (options.out / "conversation.rttm").write_text(reference, encoding="utf-8", newline="\n")

    for name, sentences in READINGS.items():
        gap = np.zeros(seconds_to_samples(0.4))
        reading = np.concatenate([gap] + [part for text in sentences for part in (speak(name, text), gap)])
        write(options.out / "enrol" / f"{name}.opus", reading + room(len(reading), random))
    print(f"{len(turns)} turns in {len(conversation) / SAMPLE_RATE:.1f} s, written to {options.out}")


if __name__ == "__main__":
    main()
