"""Post JSON to a webhook: tried again, and over in a bounded time, whatever the receiver does."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from threading import Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

_ATTEMPTS, _SECONDS = 3, 10.0  # each at most
_PAUSE = 1.0  # seconds before the second attempt, and twice that before the third
_LIMIT = 40.0  # seconds for all of it, with a name that is looked up for ever


def post(url: str, body: Mapping[str, Any]) -> str | None:
    """Post `body`; None, or why it did not arrive, which does not name the url: that is a secret."""
    reasons: list[str | None] = []
    thread = Thread(target=lambda: reasons.append(_try(url, json.dumps(body).encode())), daemon=True)
    thread.start()
    thread.join(_LIMIT)
    return reasons[0] if reasons else f"no answer in {_LIMIT:.0f} s"


def _try(url: str, content: bytes) -> str | None:
    reason: str | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * attempt)
        try:
            request = Request(url, content, {"Content-Type": "application/json", "User-Agent": "spade"})
            with urlopen(request, timeout=_SECONDS):
                return None
        except HTTPError as error:
            error.close()
            reason = f"the receiver answers {error.code}"
            if error.code < 500 and error.code != 429:
                return reason
        except URLError as error:
            reason = f"the receiver cannot be reached: {error.reason}"
        except Exception as error:
            reason = f"the receiver cannot be reached: {type(error).__name__}"
    return reason
