"""What a method is: fitted on a category's normal images, then asked about one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tasks.core.errors import ConfigurationError
from tasks.core.networks.traits import Grids, Level, find_level, is_level, taken_level
from tasks.core.settings import Settings, listed

if TYPE_CHECKING:
    import faiss

    from tasks.core.matching.matching import Frames

Pyramid = Sequence[NDArray[Any]]
State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Query:
    """An image that is asked about.

    Attributes:
        embedding: (D,) float32.
        pyramid: levels (H, W, C) that the method reads, finest first.
        key: digest of its content.
        held_out: whether training images of this content are left out of the comparison.
    """

    embedding: NDArray[np.float32]
    pyramid: Pyramid
    key: str = ""
    held_out: bool = False


class Scores(NamedTuple):
    """What a method says of an image; higher is more anomalous.

    Attributes:
        image: the image score.
        maps: pixel scores (Hi, Wi) float32 at the method's own grids, whose mean at metric resolution is the
            anomaly map (`pyramid.smooth`); none of a method that scores whole images.
        neighbors: positions (K,) of the training images that the image score is made of, nearest first.
        squared_distances: (K,) of their embeddings.
    """

    image: float
    maps: Sequence[NDArray[np.float32]] = ()
    neighbors: Sequence[int] = ()
    squared_distances: Sequence[float] = ()


def combined(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of pixel scores (Hi, Wi) at the grid of the first, brought there bilinearly."""
    from tasks.core.matching.pyramid import mean_map

    return mean_map(maps, maps[0].shape)


Scorer = Callable[[Query], Scores]
JointScorer = Callable[[Query], list[Scores]]


@dataclass(frozen=True)
class Training:
    """The normal images of a category.

    Attributes:
        embeddings: (N, D) float32.
        pyramid: levels (H, W, C) float16 or float32 of the image at a position from 0 to N - 1.
            It is called for one image after the other.
        levels: names of these levels, finest first.
        keys: digests of their contents (N,); their positions, if none are given.
        index: exact index of the embeddings; built when it is needed, if none is given.
        device: of torch, where products are computed.
        anomaly_map: brings pixel scores as in `Scores.maps` to the anomaly map; the mean at the finest of
            their grids, if nothing else is given.
        memory: bytes that fitting may hold of what grows with the images, besides its state.
        frames: in which training images were searched, for the queries to come.
    """

    embeddings: NDArray[np.float32]
    pyramid: Callable[[int], Pyramid]
    levels: Sequence[Level] = ()
    keys: Sequence[str] = ()
    index: faiss.Index | None = None
    device: str = "cpu"
    anomaly_map: Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]] = combined
    memory: float = float("inf")
    frames: Frames = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Check that there is an image."""
        if not len(self.embeddings):
            raise ValueError("no training image: a method needs at least one")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.embeddings)

    def pyramids(self) -> Iterator[Pyramid]:
        """The levels of one image after the other; what is not kept elsewhere is let go before the next."""
        first = None
        for position in range(len(self)):
            pyramid = self.pyramid(position)
            shapes = [np.shape(level) for level in pyramid]
            first = first or shapes
            if shapes != first:
                raise ValueError(f"training image {position} has levels {shapes}, the first has {first}")
            yield pyramid
            del pyramid

    def others(self, query: Query) -> NDArray[np.int64]:
        """Positions of the images that a query is compared with.

        Raises:
            ValueError: it is held out, and all are of its content.
        """
        if not query.held_out:
            return np.arange(len(self))
        others = np.flatnonzero(np.asarray(self._names) != query.key)
        if not len(others):
            raise ValueError(f"image {query.key!r} is held out: there is no other training image")
        return others

    def nearest(
        self, query: Query, k: int, *, cosine: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Squared distances and positions of the k images nearest to a query; of all, if there are fewer.

        With `cosine` embeddings are brought to length 1 first.
        """
        from tasks.core.matching.retrieval import nearest, unit

        others = self.others(query)
        left_out = len(self) - len(others)
        wanted = min(k, len(others))
        if not wanted:
            return np.empty(0), np.empty(0, np.int64)
        asked = query.embedding[None]
        index, asked = (self._unit_index, unit(asked)) if cosine else (self._index, asked)
        squared, positions = nearest(index, asked, wanted + left_out)
        kept = np.isin(positions[0], others)
        return squared[0][kept][:wanted], positions[0][kept][:wanted]

    def key(self, position: int) -> str:
        """Digest of the content of the image at a position."""
        return self._names[position]

    @cached_property
    def _names(self) -> Sequence[str]:
        return self.keys or [str(position) for position in range(len(self))]

    @cached_property
    def _index(self) -> faiss.Index:
        from tasks.core.matching.retrieval import build_index

        return build_index(self.embeddings) if self.index is None else self.index

    @cached_property
    def _unit_index(self) -> faiss.Index:
        from tasks.core.matching.retrieval import build_index, unit

        return build_index(unit(self.embeddings))


class Correspondence(Protocol):
    """A method that says where in which training image the best match of a patch lies."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that are matched."""

    def grids(self, pyramid: Pyramid) -> list[NDArray[np.float32]]:
        """Patch vectors (H, W, C) as they are matched: one grid, or several that are matched one by one."""

    def grid_levels(self) -> list[tuple[Level, ...]]:
        """The levels in each grid."""

    def compared(self, query: Query, training: Training, neighbors: Sequence[int]) -> Sequence[int]:
        """Positions of the training images whose patches compete, given the nearest ones."""

    @property
    def competitors(self) -> str:
        """Which training images these are, in words."""

    @property
    def window(self) -> int:
        """How many cells away a patch may lie that competes; 0 where all of an image's do."""

    @property
    def measure(self) -> str:
        """What is least at the best match, in words."""

    def measured(self, squared: float) -> float:
        """The same, given the squared distance of patch vectors as they are matched."""


@dataclass(frozen=True)
class Method(Settings):
    """Settings of a method, a frozen dataclass; everything in it determines the scores.

    A state is a dict of plain arrays, all that `fit` learned: stored and loaded again it gives the same
    scores. The same settings and training images give the same state. A subclass says what it can explain.

    Attributes:
        name: as in `--method` and in tables.
        learns: whether `fit` gives a state to be kept; else scoring needs the training images alone.
        has_map: whether it scores pixels.
        joint: whether several settings of it are scored together at less cost than one by one.
    """

    name: ClassVar[str]
    learns: ClassVar[bool] = True
    has_map: ClassVar[bool] = True
    joint: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[Level, ...]:
        """The levels it reads, finest first; none for a method of embeddings alone."""
        return ()

    @property
    def depends_on_neighbors_alone(self) -> bool:
        """Whether the same nearest training images give the same scores, whatever other ones there are.

        Then a training image can be held out without another fit.
        """
        return False

    @property
    def neighbor_count(self) -> int:
        """How many nearest training images it names with a score; 0 if none."""
        return 0

    @property
    def image_reads(self) -> tuple[Level, ...]:
        """The levels that the image score alone takes; none where embeddings are enough."""
        return ()

    @property
    def gallery_reads(self) -> tuple[Level, ...]:
        """The levels of training images that scoring reads."""
        return ()

    @property
    def correspondence(self) -> Correspondence | None:
        """What explains an anomalous position by a training image, if anything does."""
        return None

    @property
    def members(self) -> tuple[Method, ...]:
        """The methods that are fitted and score for this one: itself, or those of an ensemble."""
        return (self,)

    def nearest(self, query: Query, training: Training) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Squared distances and positions of the training images that it names with a score."""
        return training.nearest(query, self.neighbor_count)

    def settled(self, grids: Grids, images: int | None = None) -> Self:  # noqa: ARG002
        """The method with what its settings leave open settled.

        `grids` holds the grid of each level that the network has, finest first; `images` counts the training
        images, if they are known.

        Raises:
            ConfigurationError: the network has not the levels that the method reads.
        """
        try:
            found = {find_level(level, grids) for level in self.reads}
        except ConfigurationError as error:
            raise ConfigurationError(
                f"method {self.label} reads levels {listed(self.reads)}, but the network has "
                f"{listed(list(grids))}: name it as --method '{self._with_levels(tuple(grids)).label}'"
            ) from error
        levels = tuple(level for level in grids if level in found)
        return self if levels == self.reads else self._with_levels(levels)

    def _with_levels(self, levels: tuple[Level, ...]) -> Self:
        """The method reading what there is."""
        return replace(self, levels=levels)  # type: ignore[call-arg]  # of those that read several

    def fit(self, training: Training) -> State:
        """Learn the normal images of a category."""
        raise NotImplementedError

    def scorer(self, state: State, training: Training) -> Scorer:
        """What scores an image, given its embedding (D,) and the levels that the method reads."""
        raise NotImplementedError

    def image_scorer(self, state: State, training: Training) -> Scorer:
        """What scores an image as `scorer`, where no map is wanted."""
        return self.scorer(state, training)

    @classmethod
    def joint_scorer(
        cls, methods: Sequence[Self], states: Sequence[State], training: Training
    ) -> JointScorer:
        """What scores an image by several settings of the method, with the levels `training.levels`."""
        scorers = [method.scorer(state, training) for method, state in zip(methods, states, strict=True)]
        return lambda query: [score(query) for score in scorers]

    @property
    def label(self) -> str:
        """The text that names the method: its name, and the settings that are not the published ones."""
        changed = ", ".join(f"{name}={self._text(value)}" for name, value in self.changed().items())
        return f"{self.name}({changed})" if changed else self.name

    @staticmethod
    def _text(value: Any) -> str:
        return repr(value)

    def description(self) -> dict[str, Any]:
        """All that determines a settled method's state and scores, given features and training images."""
        return {"version": 2, "method": self.name} | self.keyed()


@dataclass(frozen=True)
class LevelMethod(Method):
    """A method that reads the patches of one level."""

    level: Level = field(default=0)

    def __post_init__(self) -> None:
        """Check each setting."""
        object.__setattr__(self, "level", taken_level(self.level))
        if not is_level(self.level):
            raise ConfigurationError(
                f"level is {self.level!r}: name a stride, a whole number above 0, or a layer, as 'layer2'"
            )
        super().__post_init__()

    @property
    def reads(self) -> tuple[Level, ...]:
        """The one level."""
        return (self.level,)

    def _with_levels(self, levels: tuple[Level, ...]) -> Self:
        strides = [level for level in levels if isinstance(level, int)]
        asked = self.level if isinstance(self.level, int) else 0
        return replace(self, level=min(strides, key=lambda stride: abs(stride - asked), default=levels[0]))
