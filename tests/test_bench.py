"""`livespeaker bench`: everything is timed alike, shares add up, and what is shown is what was measured."""

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from model import usual
from model.other_python import other_python
from model.rival import open_rivals
from stream.bench import REST, WHOLE, Sound, Spent, by_stage, grow, hops_of, many_streams
from stream.cli import app
from stream.cli_bench import PEOPLE, WINDOW_HOPS
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.demonstration import CONVERSATION
from stream.errors import FileError, OutputError, UsageError
from stream.fresh_process import fresh_process
from stream.memory import memory_mb, open_files
from stream.race import OURS, WARM_HOPS, race
from stream.recognizer import Recognizer, Stages
from stream.records import Block, Embedding, Scores
from stream.resample import Resampler
from stream.soak import soak
from stream.stopwatch import Stopwatch
from tests.people import one_line
from tests.talk import blocks, conversation, encoder, livespeaker, recognize, stages, write_profile

STAGES = ["resampling", "MFCC", "frame layers", "pooling, last layer", "scores", "decisions"]
STAGES += ["whole turns", "guests", "overlap"]
# Answers as `model.peer` does; its decisions take as many milliseconds as the window's end has seconds.
PEER = f"""#!{sys.executable}
import json, sys
import numpy as np
samples = np.load(sys.argv[3])  # after -I and the program that this one stands for
print(json.dumps(["stub"]), flush=True)
for line in sys.stdin:
    assert {WARM_HOPS * HOP_SAMPLES} < int(line) <= len(samples)
    print(json.dumps([[9, int(line) / {SAMPLE_RATE}]]), flush=True)
"""


def quiet(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """A short bench of everything but the Keras network: its JSON, and what it showed."""
    folder = tmp_path_factory.mktemp("bench")
    peer = program(folder / "peer", PEER)
    options = ["--seconds", "1", "--hours", "0.02", "--json", folder / "out.json", "--peer", peer]
    done = livespeaker("bench", *map(str, options), timeout=600)
    assert done.returncode == 0, done.stderr
    assert "long run 720 of 720" in done.stderr
    return json.loads((folder / "out.json").read_text()), done.stdout


def test_every_stage_is_timed_as_often_and_the_shares_add_up(found: tuple[dict, str]) -> None:
    spent = found[0]["stages"]
    assert [each["stage"] for each in spent] == [*STAGES, REST, WHOLE]
    assert {each["hops"] for each in spent} == {10}
    assert spent[-1]["share"] == 1
    assert sum(each["share"] for each in spent[:-1]) == pytest.approx(1)
    for each in spent:
        assert 0 <= each["p50_ms"] <= each["p95_ms"] <= each["p99_ms"]
    assert found[0]["real_time_factor"] == pytest.approx(spent[-1]["mean_ms"] / 100)


def test_growth_is_of_the_sizes_that_were_asked_for(found: tuple[dict, str]) -> None:
    growth = found[0]["growth"]
    by = {of: [each for each in growth if each["of"] == of] for of in dict.fromkeys(each["of"] for each in growth)}
    people, window = by.values()
    assert [each["size"] for each in people] == list(PEOPLE)
    assert [each["size"] for each in window] == [hops / 10 for hops in WINDOW_HOPS]
    for of in people, window:
        assert len({each["hops"] for each in of}) == 1
        assert of[0]["ratio"] == 1
        for each in of:
            assert each["ratio"] == pytest.approx(each["cpu_ms"] / of[0]["cpu_ms"])
    assert [mark["seconds"] for mark in found[0]["soak"]["marks"]] == [60, 72]


def test_the_table_has_what_the_json_has(found: tuple[dict, str]) -> None:
    figures, shown = found
    lines = [" ".join(line.split()) for line in shown.splitlines()]

    def line(*cells: object) -> None:
        assert any(each.startswith(" ".join(map(str, cells))) for each in lines), cells

    for each in figures["stages"]:
        line(each["stage"], *(f"{each[key]:.3f}" for key in ("p50_ms", "p95_ms", "p99_ms", "mean_ms")))
    times = "p50_ms", "p95_ms", "cpu_ms"
    for each in figures["growth"]:
        line(each["of"], f"{each['size']:,g}", *(f"{each[key]:.3f}" for key in times), f"{each['ratio']:.2f}")
    for each in figures["ways"]:
        line(each["name"], *(f"{each[key]:.3f}" for key in times), f"{each['ratio']:.1f}")
    for each, length in zip(figures["soak"]["marks"], ("1 min", "72 s"), strict=True):
        line(length, f"{each['p50_ms']:.3f}")
    for words in (
        f"Real-time factor {figures['real_time_factor']:.4f}",
        f"One core carries {figures['streams']['per_core']} streams",
        f"first decision {figures['fresh']['first_decision_s']:.2f} s",
        f"off by {figures['soak']['clock_off']} samples",
        f"{figures['people']} people enrolled",
        figures["machine"]["processor"],
    ):
        assert words in shown


def test_a_fresh_process_is_small_and_decides(found: tuple[dict, str]) -> None:
    fresh = found[0]["fresh"]
    assert fresh["runs"] == 5
    assert 0 < fresh["first_decision_s"] <= fresh["slowest_s"]
    if fresh["memory_mb"] is not None:
        assert 20 < fresh["memory_mb"] < 150  # the promise; TensorFlow alone would be 400


def test_the_ways_race_over_the_same_decisions(found: tuple[dict, str]) -> None:
    ours, theirs = found[0]["ways"]
    assert (ours["name"], ours["ratio"], theirs["name"]) == (OURS, 1, "stub")
    assert ours["decisions"] == theirs["decisions"] == 10
    assert theirs["p50_ms"] == 9
    assert theirs["cpu_ms"] == pytest.approx(4.1 + 0.45)  # the ends of hops 40 to 49
    assert theirs["ratio"] == pytest.approx(theirs["cpu_ms"] / ours["cpu_ms"])


def test_json_for_a_pipe_is_all_that_is_written(found: tuple[dict, str], tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 6), SAMPLE_RATE)
    profile = write_profile(tmp_path / "profile")
    options = ["--seconds", "1", "--hours", "0.001", "--profile", profile, "--json", "-"]
    done = livespeaker("bench", str(tmp_path / "talk.wav"), *map(str, options), timeout=600)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got.keys() == found[0].keys()
    assert got["source"] == "talk.wav"
    assert got["ways"] == []
    assert got["soak"]["apart"] is None  # too short to compare: that is said, not made up


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.wav"], "missing.wav"),
        (["-"], "standard input"),
        (["short.wav"], "at least 5 s"),
        (["--json", "no/such/folder.json"], "--json"),
        (["--peer", "no-python"], "no-python"),
        (["--peer", "broken"], "no Resemblyzer here"),
        (["--peer", "leaves"], "got: nothing"),
    ],
)
def test_bad_input_is_told_in_one_line_before_anything_is_measured(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    sf.write("short.wav", conversation(0, 4), SAMPLE_RATE)
    program(tmp_path / "broken", "#!/bin/sh\necho Traceback >&2; echo no Resemblyzer here >&2; exit 1\n")
    program(tmp_path / "leaves", "#!/bin/sh\necho '[\"gone\"]'; read line\n")
    profile = write_profile(tmp_path / "profile")
    result = CliRunner().invoke(app, ["bench", *arguments, "--profile", str(profile)])
    assert isinstance(result.exception, UsageError | FileError | OutputError)
    one_line(str(result.exception))
    assert words in str(result.exception)
    assert "stages" not in result.output


def test_silence_is_no_recording_to_wait_for(tmp_path: Path) -> None:
    sf.write(tmp_path / "silence.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    with pytest.raises(UsageError, match="in which somebody speaks, got: no decision"):
        fresh_process(tmp_path / "silence.wav", write_profile(tmp_path / "profile"), quiet)
    with pytest.raises(UsageError, match=r"somebody speaks, got: .*gone\.wav"):
        fresh_process(tmp_path / "gone.wav", tmp_path / "profile", quiet)


# -- its parts -------------------------------------------------------------------------------------------------------


def watched(watch: Stopwatch) -> Stages:
    plain = stages()
    return replace(
        plain,
        resampler=lambda rate: watch.timed("resampling", Resampler(rate)),
        mfcc=lambda: watch.timed("MFCC", plain.mfcc()),
        encoder=lambda: watch.timed("encoder", plain.encoder()),
        scorer=lambda: watch.timed("scores", plain.scorer()),
        decide=lambda: watch.timed("decisions", plain.decide()),
    )


def test_what_is_watched_decides_the_same() -> None:
    talk = conversation(0, 12)
    assert recognize(blocks(talk, 1_600), made_of=watched(Stopwatch())) == recognize(blocks(talk, 1_600))


def test_a_lap_begins_at_nothing() -> None:
    watch = Stopwatch()
    recognize(blocks(conversation(0, 2), 1_600), made_of=watched(watch))
    first = watch.lap()
    assert list(first) == ["resampling", "MFCC", "encoder", "scores", "decisions"]
    assert all(ms > 0 for ms in first.values())
    assert set(watch.lap().values()) == {0}


def test_sound_goes_on_without_end_or_gap() -> None:
    sound = Sound(CONVERSATION)
    hops = int(sound.seconds * 10)
    some = [*itertools.islice(sound.blocks(), 2 * hops + 3)]
    assert all(a.start + len(a.samples) == b.start for a, b in itertools.pairwise(some))
    np.testing.assert_array_equal(np.concatenate([b.samples for b in some[:hops]]), sound.samples)
    for i in range(3):
        np.testing.assert_array_equal(some[i].samples, some[2 * hops + i].samples)


def test_whoever_is_slower_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: Iterator[int] = itertools.count()
    clock = {"now": 0}

    def now() -> int:
        return clock["now"]

    def work(ms: int) -> None:
        next(ticks)
        clock["now"] += ms * 1_000_000

    monkeypatch.setattr("stream.bench.time.perf_counter_ns", now)
    monkeypatch.setattr("stream.bench.processor_ns", now)
    got = grow("size", {1.0: lambda ms: work(ms), 2.0: lambda ms: work(3 * ms)}, [2] * 10, quiet)
    assert [(each.size, each.p50_ms, each.ratio) for each in got] == [(1, 2, 1), (2, 6, 3)]
    assert next(ticks) == 20
    ours, theirs = race(
        lambda block: work(5), [Fixed({"other": (30.0, 20.0)})], np.zeros(50 * HOP_SAMPLES, np.float32), 7, quiet
    )
    assert (ours.p50_ms, ours.decisions, theirs.p50_ms, theirs.ratio, theirs.decisions) == (5, 7, 30, 4, 7)


class Fixed:
    def __init__(self, ms: dict[str, tuple[float, float]]) -> None:
        self._ms = ms

    def ask(self, end: int) -> dict[str, tuple[float, float]]:
        return self._ms


def test_streams_are_as_many_as_fit_into_a_hop() -> None:
    got = many_streams(stages, Sound(CONVERSATION), 0.5, quiet)
    assert got.hops == hops_of(0.5)
    assert got.per_core == int(100 / got.cpu_ms)


def test_stages_at_another_rate_are_timed_as_well(tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", np.tile(conversation(0, 4), 4), 48_000)
    got: dict[str, Spent] = {each.stage: each for each in by_stage(watched, Sound(tmp_path / "talk.wav"), 2, quiet)}
    assert got["resampling"].p50_ms > 0
    assert got[WHOLE].hops == 20


class Drifting:
    """A scorer whose sums go wrong with time."""

    needs_sound = False
    latency_samples = 0

    def __init__(self, inner: object) -> None:
        self._inner, self.names, self._off = inner, inner.names, 0.0  # type: ignore[attr-defined]

    def push(self, embedding: Embedding) -> list[Scores]:
        self._off += 1e-4
        return [replace(each, llr=each.llr + np.float32(self._off)) for each in self._inner.push(embedding)]  # type: ignore[attr-defined]

    def flush(self) -> list[Scores]:
        return []


def test_a_long_stream_keeps_its_clock_and_what_drifts_is_seen() -> None:
    sound = Sound(CONVERSATION)
    good = soak(stages, sound, 100, quiet)
    assert [mark.seconds for mark in good.marks] == [60, 100]
    assert good.clock_off == 0
    assert good.compared == 500
    assert good.apart is not None
    assert good.apart < 1e-3
    plain = stages()
    bad = soak(lambda: replace(plain, scorer=lambda: Drifting(plain.scorer())), sound, 100, quiet)
    assert bad.apart == pytest.approx(0.04, rel=0.1)  # 400 hops more


def test_memory_and_files_of_a_process_are_counted(tmp_path: Path) -> None:
    now, most = memory_mb(), memory_mb(most=True)
    if now is None or most is None:
        pytest.skip("no /proc")
    assert 10 < now <= most
    before = open_files()
    assert before is not None
    with (tmp_path / "file").open("w"):
        assert open_files() == before + 1
    assert open_files() == before


# -- the other ways --------------------------------------------------------------------------------------------------


def test_the_usual_way_hears_the_same_features() -> None:
    talk, config = conversation(0, 6), encoder().weights.mfcc
    end = usual.samples_of(config) + 100 * config.hop_length
    [rows] = encoder().mfcc().push(Block(0, talk))
    np.testing.assert_allclose(usual.features(talk, end, config), rows.mfcc[100 : 100 + usual.FRAMES], atol=1e-3)


def test_the_usual_way_decides() -> None:
    talk = conversation(0, 6)
    recognizer = Recognizer(stages(), "test", SAMPLE_RATE)
    with open_rivals(talk, None, naive=True) as rivals:
        got = race(recognizer.push, rivals, talk, 3, quiet)
    assert [way.decisions for way in got] == [3, 3, 3]
    assert ["tf.function" in way.name for way in got] == [False, False, True]


def test_whoever_ends_while_asked_is_said_to(tmp_path: Path) -> None:
    python = program(tmp_path / "python", "#!/bin/sh\necho because >&2; exit 3\n")
    with pytest.raises(UsageError, match="got: because"), other_python(python, [], "Resemblyzer") as process:
        assert process.wait() == 3
