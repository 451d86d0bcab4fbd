"""Zip archives that anybody may have made: what they unpack to is bounded before any of it is unpacked.

`zipfile` reads the whole directory of an archive into memory, and two of its compression methods unpack a
block of any size at once. Here the size of the directory and of every member is known first, and a member is
stored or deflated, so that reading one takes no more memory than the directory says.
"""

import os
import stat
import struct
import tokenize
import zipfile
import zlib
from typing import BinaryIO

__all__ = ["DAMAGED", "open_archive", "read_member"]

# What zipfile, numpy and soundfile raise, one way or another, for a file that somebody cut or changed. The header of
# a NumPy array is Python: numpy has it parsed, never run.
DAMAGED = (
    ValueError,
    LookupError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
    TypeError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)

_END = struct.Struct("<4s4H2LH")  # the end record of an archive without a comment (APPNOTE 4.3.16)
_END_64 = struct.Struct("<4sLQL")  # what stands before it in one beyond 4 GB (4.3.15); it would overrule it
_ENTRY_BYTES = 256  # of the directory, for a member: 46, its name, and what zip programs add
_ENCRYPTED = 1


def open_archive(file: BinaryIO, *, most_members: int, most_bytes: int) -> zipfile.ZipFile:
    """A zip archive whose members can all be read within bounds.

    Args:
        file: the archive; it can be sought, and stays open.
        most_members: at most so many.
        most_bytes: of the archive, and of all members together once unpacked.

    Raises:
        ValueError: it is no zip archive or a part of one, it is larger, or it has a member that is there twice,
            is encrypted, is a link or another special file, or is packed in a way that is not bounded.
        Exception: any other of `DAMAGED`.
    """
    size = file.seek(0, os.SEEK_END)
    if size > most_bytes:
        raise ValueError(f"wanted at most {most_bytes} bytes, got {size}")
    file.seek(max(0, size - _END_64.size - _END.size))
    tail = file.read()
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\x05\x06"):
        raise ValueError("wanted a zip archive, got something else or a part of one")
    _, _, _, _, members, directory_bytes, _, _ = _END.unpack(tail[-_END.size :])
    if tail.startswith(b"PK\x06\x07") or members > most_members or directory_bytes > _ENTRY_BYTES * most_members:
        raise ValueError(f"wanted at most {most_members} files in it, got more")
    archive = zipfile.ZipFile(file)
    found = archive.infolist()
    # The directory itself counts, not what the end record says of it.
    if len(found) > most_members or len({info.filename for info in found}) < len(found):
        raise ValueError(f"wanted at most {most_members} files in it, none of them twice, got others")
    for info in found:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if (
            kind not in (0, stat.S_IFREG)
            or info.flag_bits & _ENCRYPTED
            or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        ):
            raise ValueError("wanted plain files in it, stored or deflated, got others")
    unpacked = sum(info.file_size for info in found)
    if unpacked > most_bytes:
        raise ValueError(f"wanted at most {most_bytes} bytes once unpacked, got {unpacked}")
    return archive


def read_member(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    """The content of one file in an archive of `open_archive`.

    Args:
        archive: where it is.
        name: which one.
        most_bytes: at most so many.

    Raises:
        ValueError: it is larger than that, or than the directory says.
        Exception: any other of `DAMAGED`.
    """
    info = archive.getinfo(name)
    if info.file_size > most_bytes:
        raise ValueError(f"wanted at most {most_bytes} bytes, got {info.file_size}")
    with archive.open(info) as file:
        data = file.read(most_bytes + 1)  # never more than the directory says, whatever is packed there
    if len(data) != info.file_size:
        raise ValueError(f"wanted {info.file_size} bytes as the directory says, got {len(data)}")
    return data
