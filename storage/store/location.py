"""Where a store or a dataset lies: a folder, or a bucket's URL that fsspec understands."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from upath import UPath

from storage.errors import UnreachableStoreError

DEFAULT_REGISTRY = "deployments/datasets.toml"  # storage/datasets/registry.py

Location = Path | UPath  # a UPath is used like a Path, and is none


def location(name: str | Location) -> Location:
    """The path that `name` means: absolute, `~` expanded; for a URL such as s3://bucket/folder a UPath.

    Bucket credentials and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).

    Raises:
        ValueError, ImportError: a URL without a bucket, or of a kind that is unknown or not installed.
    """
    if isinstance(name, UPath):
        return name
    if "://" in str(name):
        url = re.sub(r"(?<=[^:/])/+$", "", str(name))
        options: dict[str, Any] = {"use_listings_cache": False}  # others write there, too
        if url.startswith("s3:"):
            options["max_concurrency"] = 1  # more would ask for an object's size before each read
        found: UPath = UPath(url, **options)
        if url.startswith("s3:") and not found.drive:
            raise ValueError("it names no bucket")
        _ = found.fs  # paths below it share its connections
        return found
    return Path(os.path.normpath(Path(name).expanduser().absolute()))


def read_bytes(path: Location) -> bytes:
    """The content of a file or an object.

    Raises:
        OSError: it is absent, or a folder's file cannot be read.
        UnreachableStoreError: the bucket does not answer, or refuses.
    """
    if isinstance(path, Path):
        return path.read_bytes()
    with answers(path):
        content: bytes = path.fs.cat_file(path.path)
    return content


@contextmanager
def answers(url: object) -> Iterator[None]:
    """What goes wrong in a bucket is an UnreachableStoreError with the remedy, unless an object is absent.

    Only what is absent may count as damage: a bucket that cannot be reached for a while has lost nothing.
    """
    try:
        yield
    except Exception as error:
        response = getattr(error.__cause__, "response", None) or {}
        no_bucket = response.get("Error", {}).get("Code") == "NoSuchBucket"
        if isinstance(error, FileNotFoundError) and not no_bucket:
            raise FileNotFoundError(errno.ENOENT, "no such object", str(url)) from error
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UnreachableStoreError(
            f"{url} cannot be used ({reason}): {'create the bucket, or ' if no_bucket else ''}check the URL, "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for a server of your own"
        ) from error
