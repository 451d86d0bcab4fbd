"""A microphone that comes and goes: what is said, and what the stream's clock makes of the time between."""

import threading
import time
import types
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

import stream.microphone
import stream.steady_microphone
from stream.devices import list_inputs
from stream.errors import DeviceError
from stream.records import Block, Loss, Notice
from stream.steady_microphone import SteadyMicrophone
from tests.fake_portaudio import FakeStream, entry

GONE = "the microphone 'Headset' stopped giving sound; waiting for it"


class Clock:
    """Real time, as the test wants it."""

    now_s = 50.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(stream.microphone, "_now_s", lambda: found.now_s)
    monkeypatch.setattr(stream.microphone, "_FIRST_SOUND_S", 60.0)  # however busy the machine is
    monkeypatch.setattr(stream.microphone, "_NEXT_SOUND_S", 60.0)
    monkeypatch.setattr(stream.steady_microphone, "_RETRY_S", 0.0)
    return found


class Listener:
    """Takes what there is, one by one, while the test feeds the streams that are opened."""

    def __init__(self, microphone: SteadyMicrophone, module: types.ModuleType, clock: Clock) -> None:
        self.microphone, self.module, self.clock = microphone, module, clock
        self.heard: Iterator[Block | Notice] = microphone.blocks()

    @property
    def stream(self) -> FakeStream:
        stream: FakeStream = self.module.streams[-1]
        return stream

    def feed(self, seconds: float, value: float = 0.1) -> None:
        """In pieces of 20 ms, in real time."""
        rate, channels = self.stream.asked["samplerate"], self.stream.asked["channels"]
        for _ in range(round(seconds * 50)):
            self.clock.now_s += 0.02
            self.stream.feed(np.full((rate // 50, channels), value))

    def take(self, samples: int) -> list[Block | Notice]:
        """Until so many samples were given."""
        taken: list[Block | Notice] = []
        while samples > 0:
            taken.append(next(self.heard))
            if isinstance(taken[-1], Block):
                samples -= len(taken[-1].samples)
        return taken

    def lose(self) -> Notice:
        """The device is gone: its stream ends."""
        self.stream.abort()
        notice = next(self.heard)
        assert isinstance(notice, Notice)
        assert notice.waiting
        return notice


def when_opened_again(listener: Listener, then: float) -> threading.Thread:
    """The test's other hand: feeds the next stream once it is started, as PortAudio does, and not before."""
    opened = len(listener.module.streams)

    def feed() -> None:
        while len(listener.module.streams) == opened or not listener.stream.started:
            time.sleep(0.001)
        listener.feed(then)

    thread = threading.Thread(target=feed)
    thread.start()
    return thread


def starts(heard: list[Block | Notice]) -> list[int]:
    return [each.start for each in heard if isinstance(each, Block)]


def said(heard: list[Block | Notice]) -> list[str]:
    return [each.text for each in heard if isinstance(each, Notice)]


def test_the_time_without_it_is_a_gap_as_long_as_it_really_was(fake: types.ModuleType, clock: Clock) -> None:
    with SteadyMicrophone() as microphone:
        listener = Listener(microphone, fake, clock)
        listener.feed(1.0)
        assert starts(listener.take(16_000))[0] == 0
        assert listener.lose() == Notice(GONE, waiting=True)
        assert microphone.lag_samples == 0
        clock.now_s += 3_600.0
        hand = when_opened_again(listener, 0.1)
        heard = listener.take(1_600)
        hand.join()
        assert said(heard) == ["listening to 'Headset' again"]
        assert not heard[0].waiting  # type: ignore[union-attr]
        assert starts(heard)[0] == 16_000 + 3_600 * 16_000
        assert microphone.loss == Loss(samples=3_600 * 16_000)
    assert all(stream.closed for stream in fake.streams)


def test_a_machine_that_slept_is_heard_anew_though_its_stream_went_on(fake: types.ModuleType, clock: Clock) -> None:
    with SteadyMicrophone() as microphone:
        listener = Listener(microphone, fake, clock)
        listener.feed(0.5)
        clock.now_s += 60.0
        listener.feed(0.5)  # of this, nobody can say how it fits
        heard = listener.take(8_000)
        assert said(heard) == []
        assert next(listener.heard) == Notice(GONE, waiting=True)
        hand = when_opened_again(listener, 0.1)
        assert starts(listener.take(1_600))[0] == 8_000 + round(60.5 * 16_000)
        hand.join()


def test_what_is_wrong_is_said_once_and_whatever_it_is_it_waits(
    fake: types.ModuleType, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SteadyMicrophone("head") as microphone:
        listener = Listener(microphone, fake, clock)
        listener.feed(0.1)
        listener.take(1_600)
        plugged = list(fake.plugged)
        fake.plugged = [each for each in plugged if each["name"] != "Headset"]
        assert listener.lose().text == GONE
        assert next(listener.heard) == Notice("'Headset' is not among the inputs; waiting for it", waiting=True)
        fake.plugged = []
        assert "no sound input was found" in next(listener.heard).text  # type: ignore[union-attr]
        fake.plugged = plugged
        fake.InputStream.refuses_to_start = True
        assert "cannot start the microphone 'Headset': Device unavailable" in next(listener.heard).text  # type: ignore[union-attr]
        fake.InputStream.refuses_to_start = False
        fake.InputStream.refuses = staticmethod(lambda rate, channels: True)
        assert "cannot open the microphone 'Headset'" in next(listener.heard).text  # type: ignore[union-attr]
        fake.InputStream.refuses = staticmethod(lambda rate, channels: False)
        monkeypatch.setattr(stream.microphone, "_FIRST_SOUND_S", 0.05)
        assert next(listener.heard).text == GONE  # type: ignore[union-attr] # it opens, and gives nothing
        monkeypatch.setattr(stream.microphone, "_FIRST_SOUND_S", 60.0)
        hand = when_opened_again(listener, 0.1)
        assert said(listener.take(1_600)) == ["listening to 'Headset' again"]
        hand.join()


@pytest.mark.parametrize(
    ("plugged", "index"),
    [
        ([entry("Webcam"), entry("USB Mic: - (hw:3,0)")], 1),  # another card's number
        ([entry("USB Mic: - (hw:1,0)", hostapi=1), entry("USB Mic: - (hw:1,0)")], 1),
        ([entry("USB Mic: - (hw:2,0)"), entry("USB Mic: - (hw:1,0)")], 1),
    ],
)
def test_it_is_found_by_its_name_wherever_it_stands_now(
    fake: types.ModuleType,
    clock: Clock,
    plugged: list[dict[str, object]],
    index: int,
) -> None:
    fake.entries.append(entry("USB Mic: - (hw:1,0)"))
    with SteadyMicrophone(3) as microphone:
        listener = Listener(microphone, fake, clock)
        listener.feed(0.1)
        listener.take(1_600)
        fake.plugged = plugged
        listener.lose()
        hand = when_opened_again(listener, 0.1)
        listener.take(1_600)
        hand.join()
        assert listener.stream.asked["device"] == index


def test_another_default_at_another_rate_goes_on_at_the_first_ones(fake: types.ModuleType, clock: Clock) -> None:
    fake.InputStream.refuses = staticmethod(lambda rate, channels: rate == 16_000)
    with SteadyMicrophone() as microphone:
        assert microphone.rate == 48_000
        listener = Listener(microphone, fake, clock)
        listener.feed(1.0)
        listener.take(48_000)
        fake.plugged = [entry("Built-in", channels=2, rate=44_100.0)]
        fake.default.device = [0, 0]
        fake.InputStream.refuses = staticmethod(lambda rate, channels: (rate, channels) != (44_100, 2))
        listener.lose()
        clock.now_s += 9.0
        hand = when_opened_again(listener, 2.0)
        heard = listener.take(48_000)
        hand.join()
        assert said(heard) == ["listening to 'Built-in' instead of 'Headset'"]
        blocks = [each for each in heard if isinstance(each, Block)]
        assert starts(heard)[0] == 10 * 48_000
        assert {block.rate for block in blocks} == {48_000}
        assert all(one.start + len(one.samples) == two.start for one, two in pairwise(blocks))
        np.testing.assert_allclose(np.concatenate([block.samples for block in blocks])[4_800:], 0.1, atol=1e-3)


def test_digital_silence_is_told_once_and_so_is_its_end(fake: types.ModuleType, clock: Clock) -> None:
    with SteadyMicrophone(buffer_s=60.0) as microphone:
        listener = Listener(microphone, fake, clock)
        listener.feed(9.9, value=0.0)
        listener.feed(0.1)
        listener.feed(25.0, value=0.0)
        listener.feed(0.1)
        heard = listener.take(round(35.1 * 16_000))
        assert said(heard) == ["digital silence for 10 s: is the microphone muted?", "there is sound again"]
        assert not any(each.waiting for each in heard if isinstance(each, Notice))
        where = [i for i, each in enumerate(heard) if isinstance(each, Notice)]
        assert [heard[i + 1].start for i in where] == [pytest.approx(20 * 16_000, abs=1_600), 35 * 16_000]  # type: ignore[union-attr]


def test_who_listens_too_late_hears_the_newest_sound_and_is_never_further_behind_than_the_buffer(
    fake: types.ModuleType, clock: Clock
) -> None:
    with SteadyMicrophone(buffer_s=5.0) as microphone:
        listener = Listener(microphone, fake, clock)
        for _ in range(3):  # whoever takes the processor gives it back, again and again
            listener.feed(4.0)
            assert microphone.lag_samples == 4 * 16_000
            listener.feed(8.0)
            assert microphone.lag_samples == 5 * 16_000
            assert len(listener.take(1)) == 1
            assert microphone.lag_samples == 0
        assert microphone.loss.overruns == 3
        assert microphone.loss.samples == 36 * 16_000 - 3 * 1_600
        listener.feed(0.1)
        assert starts(listener.take(1_600)) == [36 * 16_000]


def test_stop_ends_the_wait(fake: types.ModuleType, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream.steady_microphone, "_RETRY_S", 1e6)
    with SteadyMicrophone() as microphone:
        listener = Listener(microphone, fake, clock)
        listener.feed(0.1)
        listener.take(1_600)
        listener.lose()
        stopper = threading.Timer(0.1, microphone.stop)
        stopper.start()
        assert list(listener.heard) == []
        stopper.join()


def test_at_the_start_a_microphone_that_is_not_there_is_an_error(fake: types.ModuleType, clock: Clock) -> None:
    with pytest.raises(DeviceError, match="is not among the inputs"):
        SteadyMicrophone("tape")
    fake.InputStream.refuses_to_start = True
    with pytest.raises(DeviceError, match="cannot start"), SteadyMicrophone():
        pass


def test_another_input_is_chosen_while_it_listens(fake: types.ModuleType, clock: Clock) -> None:
    with SteadyMicrophone() as microphone:
        listener = Listener(microphone, fake, clock)
        listener.feed(0.5)
        listener.take(8_000)
        webcam = list_inputs()[-1]
        assert webcam.name == "Webcam"
        before = listener.stream
        microphone.choose(webcam)
        hand = when_opened_again(listener, 0.1)
        heard = listener.take(1_600)
        hand.join()
        assert before.closed
        assert said(heard) == ["listening to 'Webcam' instead of 'Headset'"]
        assert listener.stream.asked["device"] == webcam.index
        assert starts(heard)[0] > 8_000  # a gap, and no wait
        assert microphone.name == "Webcam"
        listener.lose()  # it is the one that is waited for now
        hand = when_opened_again(listener, 0.1)
        assert said(listener.take(1_600)) == ["listening to 'Webcam' again"]
        hand.join()
