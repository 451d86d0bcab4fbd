"""Two people at once are marked, one alone is not: on the voices of the demo, which nobody was taught on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.encoder import Pooling
from model.overlap import Overlaps, features
from model.weights import load_weights_folder
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import WeightsError
from stream.outputs import JsonLines
from stream.recognizer import Stages
from stream.records import Block, Embedding, Turn
from tests.talk import blocks, conversation, final, recognize, stages, voices, weights

BEFORE = conversation(0, 15)  # Sally, Rob and Angus take turns: it must know what is usual
SALLY, ROB = conversation(0.8, 3.3), conversation(5.9, 8.4)
PAUSE = np.zeros(SAMPLE_RATE, np.float32)


def together(gain_db: float = 0.0) -> np.ndarray:
    """A conversation, from 16 s to 18.5 s Sally with Rob over her, from 19.5 s Rob alone."""
    both = SALLY + ROB * np.float32(10 ** (gain_db / 20))
    return np.concatenate([BEFORE, PAUSE, both * np.float32(0.7), PAUSE, ROB, PAUSE])


def marked(people: list | None = None) -> Stages:
    return replace(stages(people), overlaps=lambda: Overlaps(weights()))


def at(turns: list[Turn], second: float) -> list[Turn]:
    return [turn for turn in turns if turn.start <= second * SAMPLE_RATE < turn.end]


def test_two_at_once_are_marked_and_each_alone_is_not() -> None:
    turns = final(recognize([Block(0, together())], made_of=marked()))
    first, both, last = (at(turns, second) for second in (2.0, 17.0, 20.5))
    assert [turn.overlap for turn in (*first, *last)] == [False, False]
    assert any(turn.overlap for turn in both)


def test_who_takes_turns_is_never_marked() -> None:
    turns = final(recognize([Block(0, conversation())], made_of=marked()))
    assert len(turns) > 14
    assert not [turn for turn in turns if turn.overlap]


def test_silence_has_no_voices() -> None:
    stage = Overlaps(weights())
    silence = Embedding(0, np.zeros((4, 1)), np.zeros(4), 0.0, sums=np.zeros(Pooling(weights()).n_sums))
    assert stage.push(silence, [], None) == stage.flush([]) == []
    turn = Turn(0, HOP_SAMPLES, "Ann", 0.9, final=True)
    assert stage.flush([turn]) == [turn]


def test_the_size_of_the_pieces_changes_no_mark() -> None:
    whole, *others = [recognize(blocks(together(), size), made_of=marked()) for size in (HOP_SAMPLES, 997, 4_001)]
    assert any(event.overlap for event in whole if isinstance(event, Turn))
    assert all(events == whole for events in others)


def test_marks_ask_nobody_for_a_name() -> None:
    def found(people: list) -> list[tuple[int, int, bool]]:
        turns = final(recognize([Block(0, together())], made_of=marked(people)))
        return [(turn.start, turn.end, turn.overlap) for turn in turns]

    angus, rob, sally = voices()
    assert found([angus, rob, sally]) == found([angus, replace(rob, name="Sally"), replace(sally, name="Rob")])


def test_nothing_else_of_a_turn_is_changed() -> None:
    with_marks = recognize([Block(0, together())], made_of=marked())
    without = recognize([Block(0, together())], made_of=stages())
    assert [replace(event, overlap=False) if isinstance(event, Turn) else event for event in with_marks] == without


def test_means_and_deviations_are_those_of_the_steps() -> None:
    rng = np.random.default_rng(0)
    gates, channels, n = 2, 6, 40
    weight, heard = rng.uniform(0.1, 1, (n, gates)), rng.normal(size=(n, channels))
    each = np.repeat(weight, channels // gates, axis=1)
    sums = np.concatenate([[n], weight.sum(0), (each * heard).sum(0), (each * heard**2).sum(0)])
    mean = np.average(heard, axis=0, weights=each)
    deviation = np.sqrt(np.average((heard - mean) ** 2, axis=0, weights=each))
    assert features(sums[None], gates)[0] == pytest.approx(np.concatenate([weight.mean(0), mean, deviation]))


def test_what_was_taught_on_another_network_is_refused_and_none_marks_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(weights().folder, folder)
    taught = folder / "overlap.npz"
    with np.load(taught) as arrays:
        np.savez(taught, **(dict(arrays) | {"network": "another"}))
    with pytest.raises(WeightsError, match="of the network beside it"):
        Overlaps(load_weights_folder(folder))
    taught.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(WeightsError, match="among the weights"):
        Overlaps(load_weights_folder(folder))
    taught.unlink()
    assert load_weights_folder(folder).overlap() is None


def test_json_lines_tell_of_a_mark_and_only_of_one(tmp_path: Path) -> None:
    path, turn = tmp_path / "talk.jsonl", Turn(0, SAMPLE_RATE, "Ann", 0.9, final=True)
    with JsonLines(path, "talk") as out:
        out.write(turn)
        out.write(replace(turn, overlap=True))
    _, alone, both = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert both == alone | {"overlap": True}
    assert "overlap" not in alone
