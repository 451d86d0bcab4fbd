"""A picture of the dashboard as it is while the demo runs, with rich's own SVG export.

python examples/draw_dashboard.py dashboard.svg [SECONDS [COLUMNS LINES]]
"""

import io
import sys

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from model import Encoder, learn_voice, stages_of
from stream.calm import Calm
from stream.cli_keys import abilities
from stream.controls import Controls
from stream.dashboard import render
from stream.demonstration import CONVERSATION, ENROLMENT
from stream.recognizer import Recognizer
from stream.replay import open_source
from stream.steered import Steered

# As rich's, without a font from the network: a picture should fetch nothing.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg"><style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}</style><defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}"
height="{terminal_height}"/></clipPath>{lines}</defs>{chrome}<g transform="translate({terminal_x}, {terminal_y})"
clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def main(file: str, seconds: float = 31.0, width: int = 80, height: int = 24) -> None:
    encoder = Encoder.load()
    voices = [learn_voice(encoder, open_source(file, None)).voice(name) for name, file in ENROLMENT.items()]
    source, calm = open_source(CONVERSATION, None), Calm()
    recognizer = Recognizer(stages_of(encoder, voices), source.name, source.rate)
    keys = Controls(Steered(source), lambda: recognizer.snapshot, abilities(encoder, None, source))
    with source:
        for block in source.blocks():
            recognizer.push(block, source.loss)
            snapshot = calm(recognizer.snapshot)
            if block.start >= seconds * source.rate:
                break
    console = Console(file=io.StringIO(), width=width, height=height, record=True, force_terminal=True)
    console.print(Text("\n").join(render(snapshot, width, height, keys.footer())), soft_wrap=True)
    console.save_svg(file, title="livespeaker demo", theme=MONOKAI, code_format=SVG, unique_id="dashboard")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 5):
        sys.exit(__doc__)
    main(sys.argv[1], *map(float, sys.argv[2:3]), *map(int, sys.argv[3:]))
