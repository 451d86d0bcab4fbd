"""Names in large letters, drawn with half blocks: two dots above each other in every cell.

Capitals, figures and the accents of European languages are known; a name in any other script is left to the terminal's
own font.
"""

import unicodedata

__all__ = ["LARGE_ROWS", "large"]

LARGE_ROWS = 3
"""Lines that large letters take at scale 1: a row of dots for accents and five for the letter."""

_DRAWN = (
    """
A     B     C     D     E     F     G     H     I   J     K     L     M
.##.  ###.  .###  ###.  ####  ####  .###  #..#  #   ..##  #..#  #...  #...#
#..#  #..#  #...  #..#  #...  #...  #...  #..#  #   ...#  #.#.  #...  ##.##
####  ###.  #...  #..#  ###.  ###.  #.##  ####  #   ...#  ##..  #...  #.#.#
#..#  #..#  #...  #..#  #...  #...  #..#  #..#  #   #..#  #.#.  #...  #...#
#..#  ###.  .###  ###.  ####  #...  .###  #..#  #   .##.  #..#  ####  #...#
""",
    """
N      O     P     Q     R     S     T      U     V      W      X      Y      Z
#...#  .##.  ###.  .##.  ###.  .###  #####  #..#  #...#  #...#  #...#  #...#  ####
##..#  #..#  #..#  #..#  #..#  #...  ..#..  #..#  #...#  #...#  .#.#.  .#.#.  ...#
#.#.#  #..#  ###.  #..#  ###.  .##.  ..#..  #..#  .#.#.  #.#.#  ..#..  ..#..  .##.
#..##  #..#  #...  #.##  #.#.  ...#  ..#..  #..#  .#.#.  ##.##  .#.#.  ..#..  #...
#...#  .##.  #...  .###  #..#  ###.  ..#..  .##.  ..#..  #...#  #...#  ..#..  ####
""",
    """
0     1   2     3     4     5     6     7     8     9     -   '  .  &
.##.  .#  ###.  ###.  #..#  ####  .##.  ####  .##.  .##.  ..  #  .  .#..
#..#  ##  ...#  ...#  #..#  #...  #...  ...#  #..#  #..#  ..  #  .  #.#.
#..#  .#  .##.  .##.  ####  ###.  ###.  ..#.  .##.  .###  ##  .  .  .#..
#..#  .#  #...  ...#  ...#  ...#  #..#  .#..  #..#  ...#  ..  .  .  #.##
.##.  .#  ####  ###.  ...#  ###.  .##.  .#..  .##.  .##.  ..  .  #  .##.
""",
)
_ABOVE = {  # combining mark: the dots above a letter, left, middle and right
    "\u0300": "#..",
    "\u0301": "..#",
    "\u0302": ".#.",
    "\u0303": "##.",
    "\u0306": ".#.",
    "\u0307": ".#.",
    "\u0308": "#.#",
    "\u030a": ".#.",
    "\u030b": ".##",
    "\u030c": ".#.",
}
_LIKE = str.maketrans("\u2019\u2010\u2011", "'--")


def _cut_out() -> dict[str, tuple[str, ...]]:
    glyphs: dict[str, tuple[str, ...]] = {" ": ("..",) * 5}
    for drawing in _DRAWN:
        heads, *rows = drawing.strip("\n").split("\n")
        for at, head in enumerate(heads):
            if head != " ":
                glyphs[head] = tuple(row[at:].split(" ", 1)[0] for row in rows)
    return glyphs


_GLYPHS = _cut_out()


def large(name: str, width: int, scale: int = 1) -> list[str] | None:
    """A name in large capitals.

    Args:
        name: any text.
        width: cells that there are.
        scale: 1 takes `LARGE_ROWS` lines, 2 twice as many.

    Returns:
        Lines of half blocks, all of one length, at most `width`; None where a letter is not known, or they are too
        many.

    >>> print(*large("Zoë", 20), sep="|")
    ▄▄▄▄  ▄▄  █▄▄█| ▄▄▀ █  █ █▄▄ |█▄▄▄ ▀▄▄▀ █▄▄▄
    """
    letters: list[tuple[str, ...]] = []
    for character in unicodedata.normalize("NFD", name.upper().translate(_LIKE)):
        if character in _ABOVE and letters:
            base = letters[-1]
            wide, dots = len(base[1]), _ABOVE[character]
            above = dots[0] + dots[1] * (wide - 2) + dots[2] if wide > 2 else "#" * wide
            letters[-1] = (above, *base[1:])
        elif character in _GLYPHS:
            rows = _GLYPHS[character]
            letters.append(("." * len(rows[0]), *rows))
        else:
            return None
    if not letters:
        return None
    lines = [".".join(rows) for rows in zip(*letters, strict=True)]
    lines = ["".join(dot * scale for dot in line) for line in lines for _ in range(scale)]
    if len(lines[0]) > width:
        return None
    halves = {("#", "#"): "█", ("#", "."): "▀", (".", "#"): "▄", (".", "."): " "}
    return [
        "".join(halves[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(lines[::2], lines[1::2], strict=True)
    ]
