"""Options that several commands have, and a configuration from its settings."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from itertools import chain
from typing import Annotated, Any

import typer

from flows.cli.running import errors
from tasks.core.config import Configuration
from tasks.methods.presets import preset

_DEFAULTS = Configuration()
StoreOption = Annotated[
    str, typer.Option("--store", envvar="SPADE_STORE", help="Folder or s3:// URL of the store.")
]
RootArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="A registered name, or a folder or URL: DATASET/CATEGORY/train/good, ..."
    ),
]
RegistryOption = Annotated[
    str, typer.Option("--registry", envvar="SPADE_REGISTRY", help="File of registered datasets.")
]
Categories = Annotated[list[str] | None, typer.Option("--category", help="Only this category; repeatable.")]
PresetOption = Annotated[
    str, typer.Option("--preset", help="paper or best: settings and methods, where no other is named.")
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help="spade, dn2, nearest_neighbor, one_class_svm, padim, patchcore, ensemble; with settings as "
        "'dn2(k=5)'; repeatable. Default: the preset's.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
BatchSize = Annotated[int, typer.Option(help="Images in a forward pass.")]
Memory = Annotated[float, typer.Option(help="GiB of features kept in memory while scoring.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log.")]
Runner = Annotated[str, typer.Option(help="threads or dask: what works on categories side by side.")]
DaskAddress = Annotated[str | None, typer.Option(help="A Dask scheduler, for --runner dask.")]
Parallel = Annotated[int, typer.Option(min=1, help="Categories at a time; they share --memory.")]


class Format(StrEnum):
    """How a table is written."""

    table = "table"
    csv = "csv"
    json = "json"


def configuration_of(
    *,
    backbone: Annotated[
        str, typer.Option(help="A network of torchvision or timm by its name; see spade backbones.")
    ] = _DEFAULTS.backbone,
    weights: Annotated[
        str | None, typer.Option(help="File of a state dict: torch's, or .safetensors.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="paper: resize 256, centre crop 224. full, full256: the whole image, to 224 or 256."
        ),
    ] = _DEFAULTS.protocol,
    level: Annotated[
        list[int] | None,
        typer.Option(
            help="Stride of a pyramid level to match; repeatable. Default: all, 4 8 16 of a ResNet."
        ),
    ] = None,
    k_image: Annotated[int, typer.Option(help="Neighbours in the image score.")] = _DEFAULTS.k_image,
    k_gallery: Annotated[int, typer.Option(help="Images in the gallery.")] = _DEFAULTS.k_gallery,
    gallery: Annotated[str, typer.Option(help="nearest or random: training images.")] = _DEFAULTS.gallery,
    gallery_seed: Annotated[int, typer.Option(help="Of a random gallery.")] = _DEFAULTS.gallery_seed,
    index: Annotated[
        str, typer.Option(help="flat, hnsw or ivf: of many training images; only flat is exact.")
    ] = _DEFAULTS.index,
    flat_up_to: Annotated[
        int, typer.Option(help="Training images up to which the index is flat.")
    ] = _DEFAULTS.flat_up_to,
    kappa: Annotated[int, typer.Option(help="Nearest gallery patches in the pixel score.")] = _DEFAULTS.kappa,
    fusion: Annotated[str, typer.Option(help="concatenate or average.")] = _DEFAULTS.fusion,
    upsampling: Annotated[
        str, typer.Option(help="bilinear or nearest: coarse levels in concatenation.")
    ] = _DEFAULTS.upsampling,
    distance: Annotated[str, typer.Option(help="squared or euclidean: of patches.")] = _DEFAULTS.distance,
    sigma: Annotated[float, typer.Option(help="Gaussian filter, pixels; 0 for none.")] = _DEFAULTS.sigma,
    metric_resolution: Annotated[
        int, typer.Option(help="Side of anomaly maps, pixels.")
    ] = _DEFAULTS.metric_resolution,
    dtype: Annotated[str, typer.Option(help="float16 or float32: stored features.")] = _DEFAULTS.dtype,
    precision: Annotated[
        str, typer.Option(help="float32 or bfloat16: products in the backbone.")
    ] = _DEFAULTS.precision,
) -> Configuration:
    """The configuration that these options name."""
    return Configuration(
        backbone=backbone,
        weights=weights,
        protocol=protocol,  # type: ignore[arg-type]  # checked by Configuration, as all of these
        levels=tuple(level or ()),
        k_image=k_image,
        k_gallery=k_gallery,
        gallery=gallery,  # type: ignore[arg-type]
        gallery_seed=gallery_seed,
        index=index,  # type: ignore[arg-type]
        flat_up_to=flat_up_to,
        kappa=kappa,
        fusion=fusion,  # type: ignore[arg-type]
        upsampling=upsampling,  # type: ignore[arg-type]
        distance=distance,  # type: ignore[arg-type]
        sigma=sigma,
        metric_resolution=metric_resolution,
        dtype=dtype,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
    )


def configured(command: Callable[..., None], names: Collection[str] = ()) -> Callable[..., None]:
    """Give a command options of a configuration: those of these names, or all that it does not declare."""
    own = signature(command, eval_str=True).parameters
    settings = signature(configuration_of, eval_str=True).parameters
    declared = {
        name: parameter for name, parameter in settings.items() if name in (names or settings.keys() - own)
    }

    @wraps(command)
    def configured(context: typer.Context, **given: Any) -> None:
        with errors():
            named = {name: given.pop(name) for name in declared}
            for name, value in preset(given.get("preset", "paper")).settings.items():
                source = context.get_parameter_source(name)
                if source is not None and source.name == "DEFAULT":
                    named[name] = value
            command(configuration=configuration_of(**named), **given)

    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    shown = [declared.values() if name == "configuration" else [own[name]] for name in own]
    configured.__signature__ = Signature([context, *chain(*shown)])  # type: ignore[attr-defined]  # typer reads it
    return configured
