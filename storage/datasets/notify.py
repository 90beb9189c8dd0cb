"""Who is told how a night ended: a webhook, as a table [notify] of a registry says.

[notify]
url = "${SPADE_WEBHOOK}"        of Slack, Teams, Mattermost or whatever takes JSON; secrets are variables
events = ["failed", "worse"]    of `EVENTS`; what is not good without it
"""

from __future__ import annotations

from dataclasses import dataclass

from storage.datasets.variables import web_address

BAD = ("failed", "worse", "crashed")
EVENTS = (*BAD, "good")


@dataclass(frozen=True)
class Notify:
    """A webhook, and what it is told; the url is kept as it is written: its variables may be secrets."""

    url: str
    events: tuple[str, ...] = BAD

    def __post_init__(self) -> None:
        """Refuse an event that there is not."""
        for event in self.events:
            if event not in EVENTS:
                raise ValueError(f"events has {event!r}: it is one of {', '.join(EVENTS)}")

    def address(self) -> str:
        """The url to post to.

        Raises:
            ValueError: a variable of it is not set, or it is no http:// or https:// url.
        """
        return web_address("notify.url", self.url)
