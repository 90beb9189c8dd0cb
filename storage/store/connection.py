"""Connections to buckets, as the environment describes them, and what goes wrong with them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import ObjectStore, S3Store, from_url

from storage.errors import UnreachableStoreError

_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_REGION, "
    "and AWS_ENDPOINT_URL for a server of your own",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
SCHEMES = tuple(_VARIABLES)
_ENDPOINT = re.compile(r"https?://[^\s/?#]+/?")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
_ATTEMPTS = "5"
_LONGEST_REQUEST = timedelta(minutes=2)
_LAST_ATTEMPT = timedelta(minutes=1)  # with both a write ends before its lock is stale, see lease.py
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")


def connect(url: str) -> ObjectStore:
    """The objects of the bucket s3://NAME, gs://NAME or az://NAME, with the environment's credentials.

    Raises:
        UnreachableStoreError: the environment cannot be used.
    """
    environment = os.environ
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""
    if url.startswith("s3:"):
        if endpoint and not _ENDPOINT.fullmatch(endpoint):
            raise _unusable(url, f"Invalid endpoint: {endpoint}")
        if environment.get("AWS_EC2_METADATA_DISABLED") == "true" and not any(map(environment.get, _KEYS)):
            raise _unusable(url, "no credentials in the environment")
    with answers(url):
        attempts = int(environment.get("AWS_MAX_ATTEMPTS", _ATTEMPTS))
        return from_url(
            url,
            client_options={"allow_http": endpoint.startswith("http:"), "timeout": _LONGEST_REQUEST},
            retry_config={"max_retries": attempts - 1, "retry_timeout": _LAST_ATTEMPT},
        )


def make_bucket(url: str) -> None:
    """Make the bucket of a URL s3://BUCKET/FOLDER, if it is not there yet.

    Raises:
        UnreachableStoreError: the server does not answer, or refuses.
    """
    bucket = "/".join(url.split("/")[:3])
    objects = connect(bucket)
    if not isinstance(objects, S3Store):
        raise _unusable(bucket, "only buckets of S3 are made here")
    with answers(bucket):
        request = Request(obstore.sign(objects, "PUT", "", timedelta(minutes=1)), method="PUT")
        try:
            urlopen(request).close()
        except HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:  # with what is there already
                raise


@contextmanager
def answers(url: str) -> Iterator[None]:
    """Turn what goes wrong in a bucket into an UnreachableStoreError with the remedy.

    Only an absent object stays a FileNotFoundError, for only what is absent may count as damage: a bucket
    that cannot be reached for a while has lost nothing. A condition that is not met stays what it is.
    """
    try:
        yield
    except (AlreadyExistsError, PreconditionError, UnreachableStoreError):
        raise
    except Exception as error:
        no_bucket = any(code in str(error) for code in _NO_BUCKET)
        if isinstance(error, FileNotFoundError) and not no_bucket:
            raise FileNotFoundError(errno.ENOENT, "no such object", url) from error
        raise _unusable(url, _reason(error), no_bucket=no_bucket) from error


def _unusable(url: str, reason: str, *, no_bucket: bool = False) -> UnreachableStoreError:
    return UnreachableStoreError(
        f"{url} cannot be used ({reason}): {'create the bucket, or ' if no_bucket else ''}check the URL, "
        + _VARIABLES[url.partition(":")[0]]
    )


def _reason(error: Exception) -> str:
    """What the server says, or else the first line of the error."""
    said = re.search(r"<Message>\s*([^<\n]+)", str(error))
    if said is not None:
        return said[1].strip()
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    cause = re.search(r'(?:message|error): "([^"]+)"', str(error))  # of the operating system
    return re.sub(r" in [\d.]+\S?s - ", " - ", first).strip(" :") + (f": {cause[1]}" if cause else "")
