"""Two people at once are marked, one alone is not: on the voices of the demo, which nobody was taught on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.encoder import Pooling
from model.overlap import HEARD_HOPS, OverlapConfig, Overlaps, features
from model.scoring import centroid
from model.weights import load_weights_folder
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import WeightsError
from stream.outputs import JsonLines
from stream.recognizer import Stages
from stream.records import UNKNOWN, Block, Embedding, Turn
from tests.talk import blocks, conversation, encoder, final, recognize, stages, voices, weights

BEFORE = conversation(0, 15)  # Sally, Rob and Angus take turns: it must know what is usual
SALLY, ROB = conversation(0.8, 3.3), conversation(5.9, 8.4)
TAKES_OVER_S = 0.8  # how long Rob speaks before Sally has ended
PAUSE = np.zeros(SAMPLE_RATE, np.float32)


def together(gain_db: float = 0.0) -> np.ndarray:
    """A conversation, from 16 s to 18.5 s Sally with Rob over her, from 19.5 s Rob alone."""
    both = SALLY + ROB * np.float32(10 ** (gain_db / 20))
    return np.concatenate([BEFORE, PAUSE, both * np.float32(0.7), PAUSE, ROB, PAUSE])


def taken_over() -> np.ndarray:
    """A conversation, from 16 s to 18.5 s Sally, and before she has ended, Rob."""
    later = np.zeros(SALLY.size - round(TAKES_OVER_S * SAMPLE_RATE), np.float32)
    rob = np.concatenate([later, ROB])
    return np.concatenate([BEFORE, PAUSE, rob + np.pad(SALLY, (0, rob.size - SALLY.size)), PAUSE])


def marked(people: list | None = None) -> Stages:
    known = voices() if people is None else people
    return replace(stages(known), overlaps=lambda: Overlaps(known, weights()))


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


def test_who_takes_over_before_the_other_has_ended_speaks_with_them() -> None:
    *before, rob = final(recognize([Block(0, taken_over())], made_of=marked()))
    assert (rob.name, rob.overlap, rob.second) == ("Rob", True, "Sally")
    assert not [turn for turn in before[:-1] if turn.overlap or turn.second]


class Scripted(Overlaps):
    """Hears two voices in half seconds that are told by the hop in their middle."""

    def __init__(self, out: dict[int, float]) -> None:
        ann, bo, _ = voices()
        super().__init__([replace(ann, name="Ann"), replace(bo, name="Bo")], weights())
        self._told, self._at = {middle + HEARD_HOPS // 2: over for middle, over in out.items()}, 0

    def _over(self) -> float:
        self._at += 1
        return self._told.get(self._at - 1, -np.inf)


def spoken(first: int, end: int, name: str, *, over: bool = True) -> Turn:
    return Turn(first * HOP_SAMPLES, end * HOP_SAMPLES, name, 0.9, final=over)


def heard(
    stage: Overlaps,
    hops: int,
    told: dict[int, tuple[list[Turn], Turn | None]],
    unsure: tuple[int, ...] = (),
    voice: np.ndarray | None = None,
) -> list[Turn]:
    """What a stage makes of so many hops of speech, some hardly, with turns and who speaks from then on."""
    vectors = np.zeros((4, encoder().size), np.float32) if voice is None else np.tile(voice, (4, 1))
    turns, current = [], None
    for at in range(hops):
        decided, current = told.get(at, ([], current))
        speech, sums = 0.6 if at in unsure else 1.0, np.zeros(Pooling(weights()).n_sums)
        hop = Embedding(at * HOP_SAMPLES, vectors, np.ones(4), speech, sums=sums)
        turns += stage.push(hop, decided, current)
    return turns


CHANGE, OVER = -OverlapConfig().change + 0.1, 0.1
ANN, BO = spoken(0, 50, "Ann"), spoken(50, 90, "Bo")
NOT = False, None
SAID = {60: ([ANN], replace(BO, final=False)), 100: ([BO], None)}


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ({}, [NOT, NOT]),
        ({49: CHANGE}, [(True, "Bo"), NOT]),  # each turn is marked by what lies in it
        ({50: CHANGE}, [NOT, (True, "Ann")]),
        ({49: CHANGE, 50: CHANGE}, [(True, "Bo"), (True, "Ann")]),
        ({43: CHANGE, 56: CHANGE}, [(True, "Bo"), (True, "Ann")]),
        ({42: CHANGE, 57: CHANGE}, [NOT, NOT]),  # it takes more away from a change
        ({30: OVER}, [(True, None), NOT]),  # and then nobody knows whose it is
        ({30: OVER, 50: CHANGE}, [(True, None), (True, "Ann")]),
    ],
)
def test_around_a_change_less_is_enough_and_the_other_is_named(
    out: dict[int, float], expected: list[tuple[bool, str | None]]
) -> None:
    assert [(turn.overlap, turn.second) for turn in heard(Scripted(out), 110, SAID)] == expected


@pytest.mark.parametrize(
    ("over", "unsure", "expected"), [(CHANGE, 53, True), (CHANGE, 54, False), (CHANGE, 58, False), (OVER, 54, True)]
)
def test_where_somebody_falls_silent_less_is_not_enough(over: float, unsure: int, expected: bool) -> None:
    _, bo = heard(Scripted({56: over}), 110, SAID, unsure=(unsure,))  # heard from hop 54 to hop 58
    assert bo.overlap == expected


@pytest.mark.parametrize(
    ("voice", "middle", "over", "expected"),
    [
        ("Bo", 30, OVER, [(True, "Bo"), NOT]),
        ("Ann", 30, OVER, [(True, None), NOT]),  # it is the turn's own
        ("somebody else", 30, OVER, [(True, None), NOT]),
        ("Bo", 30, CHANGE, [NOT, NOT]),
        ("Ann", 57, OVER, [NOT, (True, "Ann")]),  # heard from hop 50 on
        ("Bo", 7, OVER, [(True, "Bo"), NOT]),
        ("Bo", 6, OVER, [(True, None), NOT]),  # heard from before the turn on
    ],
)
def test_who_breaks_in_is_named_where_a_second_of_the_turn_is_surely_theirs(
    voice: str, middle: int, over: float, expected: list[tuple[bool, str | None]]
) -> None:
    vector = centroid(dict(zip(("Ann", "Bo", "somebody else"), voices(), strict=True))[voice])
    turns = heard(Scripted({middle: over}), 110, SAID, voice=vector)
    assert [(turn.overlap, turn.second) for turn in turns] == expected


def test_after_a_pause_nobody_takes_over() -> None:
    pause = OverlapConfig().pause_hops
    for silence, expected in ((pause, "Ann"), (pause + 1, None)):
        later = spoken(50 + silence, 90, "Bo")
        said = {60: ([ANN], replace(later, final=False)), 100: ([later], None)}
        assert heard(Scripted({50 + silence: CHANGE}), 110, said)[1].second == expected


@pytest.mark.parametrize("name", [UNKNOWN, "guest-2"])
def test_a_stranger_is_no_second_name(name: str) -> None:
    said = {60: ([replace(ANN, name=name)], replace(BO, final=False)), 100: ([BO], None)}
    stranger, bo = heard(Scripted({49: CHANGE, 50: CHANGE}), 110, said)
    assert (stranger.second, bo.second, bo.overlap) == ("Bo", None, True)


def test_of_a_turn_that_is_divided_each_part_knows_the_other() -> None:
    first, second = heard(Scripted({49: CHANGE, 50: CHANGE}), 110, {100: ([ANN, BO], None)})
    assert (first.second, second.second) == ("Bo", "Ann")


def test_the_turn_that_goes_on_is_marked_for_two_seconds() -> None:
    for hops, expected in ((56, False), (65, True), (71, True), (74, False)):
        stage = Scripted({52: CHANGE})
        heard(stage, hops, SAID)
        assert stage.current is not None or hops < 60
        assert bool(stage.current and stage.current.second == "Ann") == expected, hops


def test_silence_has_no_voices() -> None:
    stage = Overlaps([], weights())
    silence = Embedding(0, np.zeros((4, 1)), np.zeros(4), 0.0, sums=np.zeros(Pooling(weights()).n_sums))
    assert stage.push(silence, [], None) == stage.flush([]) == []
    turn = Turn(0, HOP_SAMPLES, "Ann", 0.9, final=True)
    assert stage.flush([turn]) == [turn]


def test_the_size_of_the_pieces_changes_no_mark() -> None:
    whole, *others = [recognize(blocks(taken_over(), size), made_of=marked()) for size in (HOP_SAMPLES, 997, 4_001)]
    assert any(event.second for event in whole if isinstance(event, Turn))
    assert all(events == whole for events in others)


def test_marks_ask_nobody_for_a_name() -> None:
    def found(people: list) -> list[tuple[int, int, bool, str | None]]:
        turns = final(recognize([Block(0, taken_over())], made_of=marked(people)))
        return [(turn.start, turn.end, turn.overlap, turn.second) for turn in turns]

    angus, rob, sally = voices()
    swapped = {"Rob": "Sally", "Sally": "Rob"}
    others = found([replace(sally, name="Rob"), angus, replace(rob, name="Sally")])
    assert found([angus, rob, sally]) == [(*rest, swapped.get(second, second)) for *rest, second in others]


def test_nothing_else_of_a_turn_is_changed() -> None:
    with_marks = recognize([Block(0, together())], made_of=marked())
    without = recognize([Block(0, together())], made_of=stages())
    bare = [replace(event, overlap=False, second=None) if isinstance(event, Turn) else event for event in with_marks]
    assert bare == without


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
        Overlaps([], load_weights_folder(folder))
    taught.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(WeightsError, match="among the weights"):
        Overlaps([], load_weights_folder(folder))
    taught.unlink()
    assert load_weights_folder(folder).overlap() is None


def test_json_lines_tell_of_a_mark_and_only_of_one(tmp_path: Path) -> None:
    path, turn = tmp_path / "talk.jsonl", Turn(0, SAMPLE_RATE, "Ann", 0.9, final=True)
    with JsonLines(path, "talk") as out:
        out.write(turn)
        out.write(replace(turn, overlap=True))
        out.write(replace(turn, overlap=True, second="Bo"))
    _, alone, both, named = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert both == alone | {"overlap": True}
    assert named == both | {"second": "Bo"}
    assert not {"overlap", "second"} & set(alone)
