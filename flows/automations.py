"""What a Prefect server does by itself for our deployments: a run that is heard of no more has crashed.

    python -m flows.automations REGISTRY

makes both automations anew on the server that Prefect's settings name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect import tags
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.runtime import flow_run
from prefect.types import SecretDict
from pydantic import SecretStr

from storage.datasets.notify import Notify
from storage.datasets.registry import read_registry
from tasks.progress import LOGGER

TAG = "spade"  # of the deployments and their runs, and of those that these start (`inherited`)
HEARTBEAT = 30  # seconds, the least that Prefect takes
MISSED = 4  # heartbeats
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
_SILENT, _CRASHED = "spade: a silent run has crashed", "spade: tell of a crashed run"
_BLOCK = "spade-notify"
_MESSAGE = """{
  "text": {{ ("SPADE " ~ flow.name ~ ": the run " ~ flow_run.name ~ " crashed: "
              ~ (flow_run.state.message or "")) | tojson }},
  "events": ["crashed"],
  "flow": {{ flow.name | tojson }},
  "flow_run": {{ flow_run.id | string | tojson }},
  "store": {{ (flow_run.parameters.store or "") | tojson }},
  "reason": {{ (flow_run.state.message or "") | tojson }}
}"""


def inherited() -> AbstractContextManager[Any]:
    """Flow runs that are started in this context have the tags of the one that starts them."""
    return tags(*flow_run.tags)


def automate(notify: Notify | None, silence: timedelta = timedelta(seconds=HEARTBEAT * MISSED)) -> None:
    """Let the server mark what has sent no heartbeat for that long as crashed, and tell whoever is named.

    Automations of these names are replaced. The webhook's url is kept by the server, encrypted, as a block.
    """
    with get_client(sync_client=True) as client:
        _replace(client, _SILENT, [_silent(silence)])
        address = _address(notify)
        _replace(client, _CRASHED, [] if address is None else [_crashed(address)])


def _address(notify: Notify | None) -> str | None:
    if notify is None or "crashed" not in notify.events:
        return None
    try:
        return notify.address()
    except ValueError as error:
        LOGGER.error("nobody will be told of a crashed run: %s", error)
        return None


def _replace(client: SyncPrefectClient, name: str, automations: Sequence[AutomationCore]) -> None:
    for found in client.read_automations_by_name(name):
        client.delete_automation(found.id)
    for automation in automations:
        client.create_automation(automation)


def _silent(silence: timedelta) -> AutomationCore:
    return AutomationCore(
        name=_SILENT,
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *_ENDS},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=_ours(),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[
            ChangeFlowRunState(
                name=None,
                force=False,
                state=StateType.CRASHED,
                message=f"no sign of life for {silence.total_seconds():.0f} s: its process or machine died",
            )
        ],
    )


def _crashed(address: str) -> AutomationCore:
    block = Webhook(url=SecretStr(address), headers=SecretDict({"Content-Type": "application/json"}))
    block_id = block.save(_BLOCK, overwrite=True)
    assert isinstance(block_id, UUID)  # and no coroutine: there is no event loop
    return AutomationCore(
        name=_CRASHED,
        trigger=EventTrigger(
            expect={"prefect.flow-run.Crashed"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=[_ours(), ResourceSpecification({"prefect.resource.role": "deployment"})],
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[CallWebhook(block_document_id=block_id, payload=_MESSAGE)],
    )


def _ours() -> ResourceSpecification:
    return ResourceSpecification({"prefect.resource.id": f"prefect.tag.{TAG}"})


if __name__ == "__main__":
    automate(read_registry(sys.argv[1]).notify)
