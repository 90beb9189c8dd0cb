"""An S3 server on loopback: moto's, whose conditional puts are made one at a time, as a real server's are."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

_ASKED = "/asked-so-far"


@contextmanager
def serving(at_each: Callable[[], object] = bool) -> Iterator[str]:
    """Serve until the end; the URL. `at_each` is called when a request comes."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
    application = _OnePutAtATime(DomainDispatcherApplication(create_backend_app), at_each)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield "http://{}:{}".format(*server.server_address[:2])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put(server: str, url: str, content: bytes) -> None:
    """Put an object, as another program would."""
    url = f"{server}/{quote(url.removeprefix('s3://'))}"
    headers = {"Content-Type": "application/octet-stream", "Authorization": "of anybody"}
    with urlopen(Request(url, content, headers, method="PUT")):
        pass


def asked(server: str) -> list[list[str]]:
    """Method, path and query of each request since the last time."""
    with urlopen(f"{server}{_ASKED}") as answer:
        found: list[list[str]] = json.load(answer)
    return found


class _OnePutAtATime:
    """moto compares an ETag, and only later writes the object: of two at once both could win."""

    def __init__(self, application: Callable[..., Iterable[bytes]], at_each: Callable[[], object]) -> None:
        self._application = application
        self._at_each = at_each
        self._putting = threading.Lock()
        self._asked: list[tuple[str, str, str]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == _ASKED:
            said = json.dumps(self._asked).encode()
            self._asked.clear()
            start_response("200 OK", [("Content-Type", "application/json")])
            return [said]
        self._asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]))
        self._at_each()
        if environ["REQUEST_METHOD"] != "PUT":
            return self._application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)  # nobody waits for one who sends slowly
        with self._putting:
            return self._application(environ, start_response)


if __name__ == "__main__":  # until its input ends
    with serving() as url:
        print(url, flush=True)
        sys.stdin.read()
