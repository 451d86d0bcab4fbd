"""Text that people gave or the system said, made fit for a terminal, a file and a message of one line."""

import errno
import unicodedata

__all__ = ["format_probability", "one_line", "safe_text", "system_reason"]

_MARKS_IN_A_ROW = 4  # no script stacks more on one letter; text that climbs over its neighbours does
_JOINERS = "\u200c\u200d"  # invisible, but Persian and the Indic scripts are spelt with them


def safe_text(text: str) -> str:
    r"""`text` with nothing left in it that a terminal obeys or an eye cannot see.

    Control characters (escape sequences begin with one), line breaks, bidirectional overrides, other
    invisible characters and lone surrogates become U+FFFD, one for one; combining marks beyond four on one
    letter are dropped, and a mark that would sit on what stands before the text gets a circle to sit on.
    Ordinary names in any script come out as they are.

    >>> safe_text("Zoë"), safe_text("\x1b[2J") == "\ufffd[2J"
    ('Zoë', True)
    """
    out: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in ("Mn", "Me"):
            marks += 1
            if marks > _MARKS_IN_A_ROW:
                continue
            if not out:
                out.append("\u25cc")
        else:
            marks = 0
        unsafe = category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and character not in _JOINERS)
        out.append("\ufffd" if unsafe else character)
    return "".join(out)


def format_probability(probability: float) -> str:
    """A probability for eyes, always five characters wide; it never claims certainty.

    >>> format_probability(0.07), format_probability(0.972), format_probability(0.9999)
    ('  7 %', ' 97 %', '>99 %')
    """
    if not probability > 0:  # NaN too: what cannot be said is not shown
        return "  0 %"
    return ">99 %" if probability >= 0.995 else f"{round(100 * probability):3d} %"


def one_line(error: BaseException) -> str:
    r"""What an error of another library says, in one line.

    >>> one_line(ValueError("no\n  way"))
    'no way'
    """
    return " ".join(str(error).split())


def system_reason(error: Exception) -> str:
    """Why the system could not open, read or write a file, in words that fit into a message.

    >>> system_reason(FileNotFoundError(errno.ENOENT, "No such file or directory"))
    'no such file or folder'
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, OSError):
        if error.errno == errno.ENOENT:
            return "no such file or folder"
        return (error.strerror or str(error)).lower()
    return str(error)
