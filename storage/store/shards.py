"""Arrays in a bucket as zarr reads them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.exceptions import GenericError, NotSupportedError
from obstore.store import ObjectStore as Objects
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import ObjectStore

from storage.store.connection import answers

_THREADS = ThreadPoolExecutor(32, "read")


class Shards(ObjectStore[Objects]):
    """Shards that are never changed: where their rows lie is asked for once, then a row is one request.

    Each request is made by a thread of Python's, which the interpreter waits for when it ends. A thread of
    obstore's own, which hands over what it read asynchronously, is not waited for, and aborts the process.
    """

    def __init__(self, objects: Objects, url: str) -> None:
        """Read below `url`, which errors name."""
        super().__init__(objects, read_only=True)
        self._url = url
        self._indices: dict[str, Buffer | None] = {}

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of an object, None if there is none; UnreachableStoreError as of all that a bucket holds."""
        if isinstance(byte_range, SuffixByteRequest) and key in self._indices:
            return self._indices[key]
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(_THREADS, self._read, key, byte_range)
        found = None if content is None else prototype.buffer.from_bytes(content)
        if isinstance(byte_range, SuffixByteRequest):  # a shard ends with its index
            self._indices[key] = found
        return found

    def _read(self, key: str, part: ByteRequest | None) -> bytes | None:
        try:
            with answers(self._url):
                if isinstance(part, RangeByteRequest):
                    return bytes(obstore.get_range(self.store, key, start=part.start, end=part.end))
                if isinstance(part, SuffixByteRequest):
                    return self._read_end(key, part.suffix)
                if isinstance(part, OffsetByteRequest):
                    found = obstore.get(self.store, key, options={"range": {"offset": part.offset}})
                else:
                    found = obstore.get(self.store, key)
                return bytes(found.bytes())
        except FileNotFoundError:
            return None

    def _read_end(self, key: str, length: int) -> bytes | None:
        try:
            return bytes(obstore.get(self.store, key, options={"range": {"suffix": length}}).bytes())
        except (GenericError, NotSupportedError) as error:
            size = obstore.head(self.store, key)["size"]
            if size == 0:  # it has no part that could be asked for
                return None
            if isinstance(error, GenericError):
                raise
            return bytes(obstore.get_range(self.store, key, start=max(0, size - length), end=size))  # Azure
