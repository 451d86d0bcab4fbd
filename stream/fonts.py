"""Which of the machine's fonts can draw a text: matplotlib's own knows no Chinese, Japanese, Korean, Hindi or Thai."""

import unicodedata

__all__ = ["families_for"]

_OWN = "DejaVu Sans"  # comes with matplotlib
_NO_LETTERS = "Last Resort"  # comes with it too, and draws a box that says of which script a letter is
_UNSEEN = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")  # categories of Unicode that need no font


def families_for(text: str) -> list[str]:
    """Font families for matplotlib, the first for most of the text, the others for letters that those before lack.

    Letters that no installed font has are left over: they are drawn as boxes.
    """
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    families = [_OWN]
    own = FT2Font(font_manager.findfont(_OWN))
    missing = {letter for letter in text if unicodedata.category(letter) not in _UNSEEN}
    missing = {letter for letter in missing if not own.get_char_index(ord(letter))}
    for entry in font_manager.fontManager.ttflist:
        if not missing:
            break
        if entry.name in families or entry.name.startswith(_NO_LETTERS):
            continue
        try:
            font = FT2Font(entry.fname)
            there = {letter for letter in missing if font.get_char_index(ord(letter))}
            if there:
                font.set_size(10, 100)
                font.load_char(ord(min(there)))  # fonts of bitmaps, such as some of emoji, fail here
        except (RuntimeError, OSError):  # removed, damaged, or of a kind that matplotlib cannot draw
            continue
        if there:
            families.append(entry.name)
            missing -= there
    return families
