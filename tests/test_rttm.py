"""Laws of RTTM: the same turns back, ten fields whatever the name, a line that is not RTTM is named."""

from itertools import pairwise

import pytest

from stream.errors import FileError
from stream.outputs import Rttm
from stream.records import UNKNOWN, Turn
from stream.rttm import read_rttm
from tests.test_outputs import turn
from tests.test_text import EVIL, NAMES


def test_rttm_comes_back_as_it_went(tmp_path):
    path = tmp_path / "out.rttm"
    edges = [0, 16 * 7, 1600, 1600 * 3, 1600 * 123456, 1600 * 123457]
    names = [*NAMES[:2], "宇宙", UNKNOWN, "bob"]
    turns = [Turn(start, end, name, 1.0, True) for (start, end), name in zip(pairwise(edges), names, strict=True)]
    with Rttm(path, file_id="talk") as output:
        for one in turns:
            output.write(one)
            output.write(turn(0, 1, "a guess", final=False))
    assert read_rttm(path) == turns


def test_rttm_neighbours_still_meet_wherever_they_were_cut(tmp_path):
    path = tmp_path / "out.rttm"
    edges = list(range(0, 100_000, 997))
    with Rttm(path, "x") as output:
        for start, end in pairwise(edges):
            output.write(Turn(start, end, "a", 1.0, True))
    back = read_rttm(path)
    assert all(one.end == other.start for one, other in pairwise(back))
    assert all(abs(one.start - edge) <= 8 for one, edge in zip(back, edges, strict=False))


def test_rttm_has_ten_fields_whatever_the_name(tmp_path):
    path = tmp_path / "out.rttm"
    with Rttm(path, file_id="my talk\u3000one") as output:
        for name in ["Anna Maria", "", " ", EVIL, "a\u00a0b"]:
            output.write(turn(12.3, 15.8, name))
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "SPEAKER my_talk_one 1 12.300 3.500 <NA> <NA> Anna_Maria <NA> <NA>"
    assert {len(line.split()) for line in lines} == {10}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SPEAKER a 1 0 1 <NA> <NA> x <NA> <NA>\n\nSPEAKER a 1 zero 1 <NA> <NA> x <NA> <NA>", 3),
        ("SPEAKER a 1 0 -1 <NA> <NA> x <NA> <NA>", 1),
        ("SPEAKER a 1 nan 1 <NA> <NA> x <NA> <NA>", 1),
        (";; a comment\nSPEAKER a 1 0 1 <NA>", 2),
        ("1\n00:00:01,000 --> 00:00:02,000", 1),
    ],
)
def test_a_line_that_is_not_rttm_is_named(text, line, tmp_path):
    (tmp_path / "bad.rttm").write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=rf"bad\.rttm, line {line}: wanted .*, got .*; correct") as caught:
        read_rttm(tmp_path / "bad.rttm")
    assert "\n" not in str(caught.value)


def test_other_rttm_lines_are_passed_over(tmp_path):
    path = tmp_path / "x.rttm"
    path.write_text(
        "\ufeff;; hi\nSPKR-INFO a 1 <NA> <NA> <NA> unknown x <NA>\r\n\nSPEAKER a 1 0.5 1 <NA> <NA> x\r\n", "utf-8"
    )
    assert read_rttm(path) == [turn(0.5, 1.5, "x", 1.0)]


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "sound").write_bytes(b"RIFF\xff\xfe\x00")
    for path in [tmp_path / "none", tmp_path, tmp_path / "sound"]:
        with pytest.raises(FileError, match=r"cannot read .*; give an RTTM file") as caught:
            read_rttm(path)
        assert "\n" not in str(caught.value)
