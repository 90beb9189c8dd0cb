"""Arrays in a bucket as zarr reads them."""

from __future__ import annotations

import obstore
from obstore.exceptions import GenericError
from obstore.store import ObjectStore as Objects
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, SuffixByteRequest
from zarr.storage import ObjectStore

from storage.store.connection import answers


class Shards(ObjectStore[Objects]):
    """Shards that are never changed: where their rows lie is asked for once, then a row is one request."""

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
        with answers(self._url):
            try:
                found = await super().get(key, prototype, byte_range)
            except GenericError:
                if (await obstore.head_async(self.store, key))["size"] > 0:
                    raise
                found = None  # an empty object has no part that could be asked for
        if isinstance(byte_range, SuffixByteRequest):  # a shard ends with its index
            self._indices[key] = found
        return found
