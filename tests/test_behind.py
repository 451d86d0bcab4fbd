"""An output on a thread of its own: in order, whole, and never waited for."""

import threading
from collections.abc import Iterator

import pytest

import stream.behind
from stream.behind import Behind
from stream.errors import OutputError, ReaderGoneError
from stream.outputs import Output
from stream.records import Loss, Turn


class Held(Output):
    """An output that takes nothing until it is let go."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.go, self.taken, self.closed, self._fails = threading.Event(), [], 0, fails
        self.entered = threading.Event()

    def _take(self, *what: object) -> None:
        self.entered.set()
        self.go.wait(60)
        if self._fails is not None:
            raise self._fails
        self.taken.append(what)

    def write(self, turn: Turn) -> None:
        self._take("turn", turn.start, turn.final)

    def gap(self, start: int, end: int) -> None:
        self._take("gap", start, end)

    def notice(self, at: int, text: str) -> None:
        self._take("notice", at, text)

    def end(self, duration: int, loss: Loss, gaps: int) -> None:
        self._take("end", duration, loss, gaps)

    def close(self) -> None:
        self.closed += 1


def turn(at: int, *, final: bool = True) -> Turn:
    return Turn(at, at + 1, "Ann", 0.9, final)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    monkeypatch.setattr(stream.behind, "_MOST_GUESSES", 10)
    monkeypatch.setattr(stream.behind, "_MOST", 20)
    monkeypatch.setattr(stream.behind, "_PATIENCE_S", 0.2)
    output = Held()
    yield output
    output.go.set()


def test_everything_arrives_in_order_and_the_output_is_closed(held: Held) -> None:
    held.go.set()
    with Behind(held, "held") as output:
        output.write(turn(1))
        output.gap(2, 3)
        output.notice(4, "so it is")
        output.end(5, Loss(), 1)
    assert held.taken == [("turn", 1, True), ("gap", 2, 3), ("notice", 4, "so it is"), ("end", 5, Loss(), 1)]
    assert held.closed == 1
    output.close()
    assert held.closed == 1


def test_while_nothing_is_taken_guesses_are_dropped_before_final_turns_and_all_of_it_is_counted(held: Held) -> None:
    output = Behind(held, "held")
    output.write(turn(0))
    held.entered.wait(60)  # it hangs with the first one
    for at in range(1, 41):
        output.write(turn(at, final=at % 2 == 0))
    assert output.trouble == "held is not taken: decisions for it are dropped"
    held.go.set()
    output.end(100, Loss(), 0)
    with pytest.raises(OutputError, match="20 decisions were not written"):
        output.close()
    # Ten of both kinds, then final ones alone, up to twenty.
    assert [what[1] for what in held.taken[:-2]] == [0, *range(1, 11), *range(12, 32, 2)]
    assert held.taken[-2] == ("notice", 100, "20 decisions were not written, because held was not taken")
    assert held.taken[-1][0] == "end"


def test_the_end_waits_for_a_slow_output_and_not_for_one_that_hangs(held: Held) -> None:
    output = Behind(held, "held")
    for at in range(5):
        output.write(turn(at))
    with pytest.raises(OutputError, match=r"^held was not taken: 5 decisions were not written; see that"):
        output.close()
    assert held.closed == 0  # the thread still has it

    class Slow(Held):
        def _take(self, *what: object) -> None:
            threading.Event().wait(0.1)
            self.taken.append(what)

    slow = Slow()
    with Behind(slow, "slow") as output:
        for at in range(10):  # longer than its patience, all together
            output.write(turn(at))
    assert len(slow.taken) == 10


@pytest.mark.parametrize("error", [OutputError("no space is left"), ReaderGoneError("gone")])
def test_an_error_is_raised_once_by_the_next_call_or_by_close(error: Exception) -> None:
    for close_at_once in (True, False):
        held = Held(error)
        held.go.set()
        output = Behind(held, "held")
        output.write(turn(1))
        if not close_at_once:
            output._thread.join(60)
            with pytest.raises(type(error)) as caught:
                output.write(turn(2))
            assert caught.value is error
            output.close()
        else:
            with pytest.raises(type(error)):
                output.close()
        assert held.closed == 1
