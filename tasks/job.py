"""What the steps of one run share: a request, the job it becomes, and the part of it that is one category."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from storage.computed.features import Features
from storage.datasets.dataset import Dataset
from storage.datasets.manifest import Manifest
from storage.store.location import read_bytes
from storage.store.store import DEFAULT_STORE, Store
from storage.store.tables import read_table
from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB, Configuration
from tasks.core.corruptions import Corruption
from tasks.core.matching.kept import KeptPyramids
from tasks.core.methods.interface import Method
from tasks.core.methods.spade import Spade
from tasks.core.networks.traits import Level
from tasks.provenance import peak_memory_mib

if TYPE_CHECKING:
    from storage.datasets.manifest import ImageFile


@dataclass(frozen=True)
class Request:
    """What a user asks for: a dataset evaluated by some methods.

    Attributes:
        dataset: what is evaluated.
        store: folder or URL where results go.
        configuration: what the methods have in common.
        methods: how images are scored.
        categories: those to evaluate; none for all.
        run_id: name of the run; None for a new one.
        device: "auto", or one of torch's.
        batch_size: images in a forward pass.
        memory_gib: bound of what is kept of training images in memory while a method is fitted and scores.
        corruptions: what is done to test images to see what that costs; nothing by default.
    """

    dataset: Dataset
    store: str = DEFAULT_STORE
    configuration: Configuration = Configuration()  # noqa: RUF009 (frozen)
    methods: tuple[Method, ...] = (Spade(),)
    categories: tuple[str, ...] = ()
    run_id: str | None = None
    device: str = "auto"
    batch_size: int = DEFAULT_BATCH_SIZE
    memory_gib: float = DEFAULT_MEMORY_GIB
    corruptions: tuple[Corruption, ...] = ()


@dataclass(frozen=True)
class Job:
    """One run on one dataset: a request, checked, with nothing left open.

    `weights_file` is where the weights with digest `weights_sha256` were found; `feature_key` is the digest
    of all that determines an image's features. `started` is an ISO time in UTC. A point of a sweep names it,
    and says how many points it has.
    """

    dataset: Dataset
    store: str
    configuration: Configuration
    methods: tuple[Method, ...]
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
    corruptions: tuple[Corruption, ...] = ()

    @property
    def memory_bytes(self) -> float:
        """Bound of what is kept of a category's training images."""
        return self.memory_gib * 2**30

    def open_store(self) -> Store:
        """The run's store."""
        return Store.open(self.store)

    def manifest(self) -> Manifest:
        """The run's manifest, as `ingest` wrote it."""
        return Manifest.from_table(read_table(self.open_store().job(self.run_id, "manifest")))

    def part(self, category: str) -> Part:
        """One category of the run, without what was set aside since `ingest`."""
        store = self.open_store()
        manifest = Manifest.from_table(read_table(store.job(self.run_id, "manifest"))).of(category)
        return Part(self, category, manifest.exclude(_set_aside(store, self.run_id, category)), store)

    def set_aside(self, categories: Sequence[str]) -> dict[str, str]:
        """Why images of these categories were set aside since `ingest`, by image_id."""
        store, found = self.open_store(), dict[str, str]()
        for category in categories:
            found |= _set_aside(store, self.run_id, category)
        return found


class Part:
    """One category of a run: its files, and their features.

    Attributes:
        job: the run.
        category: its name.
        manifest: its files; those that cannot be used are set aside in it.
        store: the run's store.
    """

    def __init__(
        self,
        job: Job,
        category: str,
        manifest: Manifest,
        store: Store | None = None,
        features: Features | None = None,
    ) -> None:
        """Narrow a run to the files of a manifest; its store and features are opened, if not given."""
        self.job = job
        self.category = category
        self.manifest = manifest
        self.store = store or job.open_store()
        self._features = features

    @property
    def features(self) -> Features:
        """The features of the run."""
        if self._features is None:
            self._features = Features(self.store, self.job.feature_key)
        return self._features

    @cached_property
    def train(self) -> list[str]:
        """Keys of the usable training images, in the order of the index."""
        return [image.key for image in self.manifest.train()]

    @cached_property
    def validation(self) -> list[str]:
        """Keys of the usable normal images that are neither trained with nor tested, each once, sorted.

        What is also a training image was seen, and is left out.
        """
        images = self.manifest.validation()
        return sorted({image.key for image in images if not image.anomalous} - set(self.train))

    @cached_property
    def scored(self) -> list[str]:
        """Keys of all usable images to score, each once: to test, to validate, and without a label."""
        return list(dict.fromkeys(image.key for image in self.manifest.scored()))

    @cached_property
    def test_images(self) -> list[ImageFile]:
        """The usable test images with a label: those that are measured."""
        return self.manifest.test()

    def without(self, reasons: Mapping[str, str]) -> Part:
        """The part without the images of these ids; why is kept, and found by `Job.part` from now on."""
        if reasons:
            path = self.store.set_aside(self.job.run_id, self.category)
            self.store.write(path, json.dumps(dict(reasons)).encode())
        return self._of(self.manifest.exclude(dict(reasons)))

    def of(self, job: Job) -> Part:
        """The same files of another job with the same features."""
        reasons = {image.image_id: image.reason or "" for image in self.manifest.excluded()}
        return Part(job, self.category, self.manifest, self.store, self._features).without(reasons)

    def only(self, keys: Collection[str]) -> Part:
        """The images of these keys alone."""
        return self._of(self.manifest.keep(keys))

    def held_out(self, keys: Collection[str]) -> Part:
        """The training images alone, those of these keys as test images."""
        return self._of(self.manifest.held_out(keys))

    def pyramids(self, levels: Sequence[Level], memory: float | None = None) -> KeptPyramids:
        """Reads these levels of an image by its key; keeps what fits into `memory` bytes, or the job's."""
        memory = self.job.memory_bytes if memory is None else memory
        return KeptPyramids(partial(self.features.pyramid, levels=levels), memory, len(set(self.train)))

    def _of(self, manifest: Manifest) -> Part:
        return Part(self.job, self.category, manifest, self.store, self._features)


def _set_aside(store: Store, run_id: str, category: str) -> dict[str, str]:
    try:
        return dict(json.loads(read_bytes(store.set_aside(run_id, category))))
    except FileNotFoundError:
        return {}


@dataclass(frozen=True)
class Stage:
    """One finished step of one category: seconds, how many of its items were computed now, memory.

    `peak_memory_mib` is the highest so far of the process, at the end of the step. A step of one method has
    its label and score key; `state_mib` is what scoring held of the training images, if it did.
    """

    step: str
    category: str | None
    seconds: float
    computed: int
    total: int
    method: str | None = None
    score_key: str | None = None
    state_mib: float | None = None
    peak_memory_mib: float = field(default_factory=peak_memory_mib)


def joined(stage: Stage, shares: Sequence[Stage]) -> Stage:
    """The stage with what its shares took and computed before it."""
    name = (stage.step, stage.method, stage.score_key)
    of_it = [share for share in shares if (share.step, share.method, share.score_key) == name]
    return replace(
        stage,
        seconds=stage.seconds + sum(share.seconds for share in of_it),
        computed=stage.computed + sum(share.computed for share in of_it),
        state_mib=max((share.state_mib or 0 for share in of_it), default=0) or stage.state_mib,
        peak_memory_mib=max(share.peak_memory_mib for share in (stage, *of_it)),
    )


@dataclass(frozen=True)
class Outcome:
    """How a category ended.

    Attributes:
        category: its name.
        rows: of the categories table, one a method.
        reason: why a method failed, if any did.
        stages: what it took.
        images: what is said of each image beside its scores, by the method's label and the image's id.
        tables: rows of the tables that not every run has, by the table's name.
    """

    category: str
    rows: list[dict[str, object]]
    reason: str | None = None
    stages: list[Stage] = field(default_factory=list)
    images: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
