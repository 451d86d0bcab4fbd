"""How loud every sound input is now, side by side: the bar that moves is the microphone that is spoken into."""

import math
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stream.cells import bar, cut, tame
from stream.devices import InputDevice
from stream.errors import DeviceError
from stream.microphone import Microphone

__all__ = ["DeviceMeters", "device_lines", "watch_devices"]

_FLOOR_DB = -60.0
_REFRESH_S = 0.1
_FALL_DB = 2.0  # a look, so that a short word is seen


class DeviceMeters:
    """Opens every input that lets itself be opened, and keeps how loud it is, until the `with` block ends.

    Args:
        inputs: of `list_inputs`.
    """

    def __init__(self, inputs: Sequence[InputDevice]) -> None:
        self.level_db = {each.index: -math.inf for each in inputs}  # RMS of the last 100 ms or less, dBFS
        self.problem: dict[int, str] = {}  # why an input cannot be heard
        self._open: list[tuple[int, Microphone]] = []
        for each in inputs:
            try:
                self._open.append((each.index, Microphone(each.index)))
            except DeviceError as error:
                self.problem[each.index] = _why(error)
        self._threads = [threading.Thread(target=self._listen, args=pair, daemon=True) for pair in self._open]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, microphone in self._open:
            microphone.stop()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def _listen(self, index: int, microphone: Microphone) -> None:
        try:
            with microphone:
                for block in microphone.blocks():
                    power = float(np.mean(np.square(block.samples)))
                    now_db = 10 * math.log10(power) if power > 0 else -math.inf
                    self.level_db[index] = max(now_db, self.level_db[index] - _FALL_DB)
        except DeviceError as error:
            self.problem[index] = _why(error)


def device_lines(inputs: Sequence[InputDevice], meters: DeviceMeters | None, width: int) -> list[Text]:
    """A line for each input: its number, its name, its rate, and how loud it is."""
    names = max([cell_len(tame(each.name, width)) for each in inputs], default=4)
    names = max(min(names, width // 2 - 8), 8)
    meter_width = max(width - names - 24, 4)
    lines = [Text(f"   N  {'Name':<{names}}  {'Rate':>9}" + ("  Level" if meters else ""), "dim")]
    for each in inputs:
        line = Text.assemble(("* " if each.is_default else "  "), f"{each.index:>2}  ", cut(each.name, names, pad=True))
        line.append(f"  {each.rate:>6} Hz")
        if meters and (problem := meters.problem.get(each.index)):
            line.append(f"  {cut(problem, meter_width)}", "dim")
        elif meters:
            level_db = meters.level_db[each.index]
            line.append("  ").append_text(bar(1 - level_db / _FLOOR_DB, meter_width, "#009e73"))
        lines.append(line)
    return lines


def watch_devices(inputs: Sequence[InputDevice], console: Console) -> None:
    """Show the levels until Ctrl-C; the last ones stay on the screen."""
    stop = threading.Event()
    end = Text("Speak: the bar that moves is your microphone, --device N. Ctrl-C ends.", "bold")
    with DeviceMeters(inputs) as meters, Live(console=console, auto_refresh=False) as live:
        try:
            while not stop.wait(_REFRESH_S):
                live.update(Group(*device_lines(inputs, meters, console.width), Text(), end), refresh=True)
        except KeyboardInterrupt:
            return


def _why(error: DeviceError) -> str:
    return str(error).partition(": ")[2].partition(";")[0] or str(error)
