"""Flow runs that died without a word: Prefect would call them running for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from storage.store.location import read_bytes
from storage.store.store import Store
from tasks.progress import LOGGER


@contextmanager
def recorded(store: Store, name: str) -> Iterator[None]:
    """Keep the id of the flow run that holds the lock `name`; one that was left behind is dead, and marked.

    Only for the holder of the lock.
    """
    path = store.holder(name)
    if store.exists(path):
        with get_client(sync_client=True) as client:
            _crash(client, UUID(read_bytes(path).decode()))
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        store.write(path, str(context.flow_run.id).encode())
    yield
    store.remove([path])


def _crash(client: SyncPrefectClient, dead: UUID) -> None:
    """Mark a flow run and its parts as crashed, those that seem to run."""
    try:
        run = client.read_flow_run(dead)
    except ObjectNotFound:  # on another server, or forgotten
        return
    parts = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[dead]))
    )
    for each in (*parts, run):
        if each.state is not None and each.state.is_running():
            LOGGER.warning("flow run %s died: marked as crashed", each.name)
            client.set_flow_run_state(each.id, Crashed(message="its process died"), force=True)
