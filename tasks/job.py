"""What the steps of one run share: references and settings, small enough for Prefect to log and hash."""

from __future__ import annotations

from dataclasses import dataclass, field

from storage.datasets.dataset import Dataset, Manifest
from storage.results.schemas import SPADE
from storage.store.store import DEFAULT_STORE, Store
from storage.store.tables import read_table
from tasks.core.config import DEFAULT_MEMORY_GIB, Configuration
from tasks.provenance import peak_memory_mib

DEFAULT_BATCH_SIZE = 16


@dataclass(frozen=True)
class Request:
    """What a user asks for: a dataset evaluated with one configuration.

    Attributes:
        dataset: what is evaluated.
        store: folder or URL where results go.
        configuration: how scores are computed.
        categories: those to evaluate; none for all.
        run_id: name of the run; None for a new one.
        device: "auto", or one of torch's.
        batch_size: images in a forward pass.
        memory_gib: bound of the pyramids kept in memory while scoring.
        methods: "spade", which the configuration sets, and what `tasks.core.methods` has.
    """

    dataset: Dataset
    store: str = DEFAULT_STORE
    configuration: Configuration = Configuration()  # noqa: RUF009 (frozen)
    categories: tuple[str, ...] = ()
    run_id: str | None = None
    device: str = "auto"
    batch_size: int = DEFAULT_BATCH_SIZE
    memory_gib: float = DEFAULT_MEMORY_GIB
    methods: tuple[str, ...] = (SPADE,)


@dataclass(frozen=True)
class Job:
    """One run on one dataset: a request, checked, with nothing left open.

    `weights_file` is where the weights with digest `weights_sha256` were found; `feature_key` is the digest
    of all that determines an image's features. `memory_gib` bounds the pyramids kept in memory while
    scoring. `started` is an ISO time in UTC. A point of a sweep names it, and says how many points it has.
    """

    dataset: Dataset
    store: str
    configuration: Configuration
    categories: tuple[str, ...]
    run_id: str
    weights_file: str
    weights_sha256: str
    feature_key: str
    device: str
    batch_size: int
    memory_gib: float
    started: str
    sweep: str | None = None
    sweep_points: int | None = None
    methods: tuple[str, ...] = (SPADE,)

    def open_store(self) -> Store:
        """The run's store."""
        return Store.open(self.store)

    def manifest(self) -> Manifest:
        """The run's manifest, as `ingest` wrote it."""
        return Manifest.from_table(read_table(self.open_store().job(self.run_id, "manifest")))


@dataclass(frozen=True)
class Stage:
    """One finished step of one category: seconds, how many of its items were computed now, memory.

    `peak_memory_mib` is the highest so far of the process, at the end of the step. Where it is a step of one
    method, `state_mib` is what scoring held of the training images, if it did.
    """

    step: str
    category: str | None
    seconds: float
    computed: int
    total: int
    peak_memory_mib: float = field(default_factory=peak_memory_mib)
    method: str | None = None
    state_mib: float | None = None


@dataclass(frozen=True)
class Extraction:
    """What `extract` did; `excluded` gives the reason for each image that it had to set aside."""

    stage: Stage
    excluded: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a category ended: its rows of the categories table, one a method; why it failed, if any did.

    `excluded` gives the reason for each image that was set aside.
    """

    category: str
    rows: list[dict[str, object]]
    reason: str | None = None
    excluded: dict[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
