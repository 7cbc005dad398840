"""Numpy arrays in a store, read by range of rows: of an array of millions of users a task reads its own rows only.

An array is an `.npy` file, or a member of an `.npz` file as `numpy.savez` writes it, which compresses nothing. What numpy
would unpickle is refused.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from personalize_spark.errors import DataError, ObjectNotFound, counted
from personalize_spark.storage.location import open_store, split_prefix
from personalize_spark.storage.store import Object, ObjectReader, Store

_LOCAL_HEADER = 30
"""Bytes of a zip member's own header, before its name and extra field (PKWARE's APPNOTE.TXT, 4.3.7)."""
_npy: Any = npy_format  # numpy does not type it
_READERS = {(1, 0): _npy.read_array_header_1_0, (2, 0): _npy.read_array_header_2_0}


@dataclass(frozen=True)
class StoredArray:
    """An array in C order that lies uncompressed in an object.

    Attributes:
        folder: the URI of the folder.
        file: the object in it.
        start: the byte at which the first row begins.
        dtype: as `numpy.dtype.str`.
        shape: of the array; (n,) or (n, d).
        name: what errors call it.
    """

    folder: str
    file: Object
    start: int
    dtype: str
    shape: tuple[int, ...]
    name: str

    def rows(self, first: int, end: int) -> NDArray[Any]:
        """Rows first <= i < end.

        Raises:
            ObjectChanged: the file is not the one any more that was opened.
        """
        dtype = np.dtype(self.dtype)
        width = dtype.itemsize * math.prod(self.shape[1:])
        place = self.start + first * width, self.start + end * width
        data = open_store(self.folder).read(self.file.name, *place, self.file.etag)
        return np.frombuffer(data, dtype).reshape(-1, *self.shape[1:])

    def of(self, kinds: str, dimensions: Sequence[int]) -> StoredArray:
        """Itself, if it is of these kinds (`numpy.dtype.kind`) and numbers of dimensions.

        Raises:
            DataError: it is not.
        """
        if np.dtype(self.dtype).kind not in kinds or len(self.shape) not in dimensions:
            wanted = "numbers" if "f" in kinds else "texts or whole numbers"
            raise DataError(
                f"{self.name} has shape {self.shape} and type {np.dtype(self.dtype)}; "
                f"it must be an array of {wanted} in {dimensions[0]} dimension{'s' * (dimensions[0] > 1)}."
            )
        return self


class _SeekableReader(ObjectReader):
    """An object as a stream in which one can go back and forth."""

    def seekable(self) -> bool:
        """Always: a store reads by range."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._object.size}[whence]
        return self._position


def open_npy(uri: str) -> StoredArray:
    """The array of an `.npy` file.

    Raises:
        DataError: there is none, or it is not one that can be read by rows.
    """
    folder, file, store = _find(uri)
    return _array(folder, file, _stream(store, file), uri)


def open_npz(uri: str) -> dict[str, StoredArray]:
    """The arrays of an `.npz` file that have rows, by name.

    Raises:
        DataError: there is none, it is compressed, or an array holds Python objects.
    """
    folder, file, store = _find(uri)
    stream = _stream(store, file)
    try:
        places = {member: _start(stream, member) for member in zipfile.ZipFile(stream).infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, struct.error) as error:
        raise DataError(f"{uri} is not an .npz file: write it with implicit's save or with numpy.savez.") from error
    arrays = {}
    for member, place in places.items():
        if member.compress_type != zipfile.ZIP_STORED:
            raise DataError(f"{uri} is compressed: write it with numpy.savez instead of numpy.savez_compressed.")
        stream.seek(place)
        name = member.filename.removesuffix(".npy")
        arrays[name] = _array(folder, file, stream, f"{name} of {uri}")
    return arrays


def _start(stream: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin."""
    stream.seek(member.header_offset)
    header = stream.read(_LOCAL_HEADER)
    return member.header_offset + _LOCAL_HEADER + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))


def _find(uri: str) -> tuple[str, Object, Store]:
    folder, name = split_prefix(uri)
    store = open_store(folder)
    found = next((each for each in store.list(name) if each.name == name), None)
    if found is None:
        raise ObjectNotFound(f"{uri} does not exist.")
    return folder, found, store


def _stream(store: Store, file: Object) -> BinaryIO:
    return io.BufferedReader(_SeekableReader(store, file), 1 << 16)


def _array(folder: str, file: Object, stream: BinaryIO, name: str) -> StoredArray:
    """The array whose header begins where the stream is."""
    try:
        version = _npy.read_magic(stream)
        shape, fortran, dtype = _READERS[version](stream)
    except Exception as error:  # numpy reads the header as Python's text, and anything may come of that
        raise DataError(f"{name} is not an array that numpy.save has written: {error}.") from error
    if min(shape, default=0) < 0:
        raise DataError(f"{name} has the shape {shape}: save it again.")
    if dtype.hasobject:
        raise DataError(
            f"{name} holds Python objects, which only pickle can read: save plain numbers or texts, such as ids.astype(str)."
        )
    if fortran and len(shape) > 1:
        raise DataError(f"{name} is in Fortran order: save numpy.ascontiguousarray(...) of it.")
    missing = stream.tell() + dtype.itemsize * math.prod(shape) - file.size
    if missing > 0:
        raise DataError(f"{name} is truncated: it lacks the last {counted(missing, 'byte')}; copy or save it again.")
    return StoredArray(folder, file, stream.tell(), dtype.str, shape, name)
