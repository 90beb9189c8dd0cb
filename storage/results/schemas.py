"""Columns of the result tables; what each holds stands in the Parquet file."""

from __future__ import annotations

import pyarrow as pa

CURVE_METRICS = ("rocauc", "average_precision", "f1_max", "f1_max_threshold")
SPADE = "spade"
SCORE_RULES = ("embedding", "map")
IMAGE_METRICS = tuple(f"image_{metric}_{rule}" for rule in SCORE_RULES for metric in CURVE_METRICS)
PIXEL_METRICS = (*(f"pixel_{metric}" for metric in CURVE_METRICS), "pro")
COMPARED = ("image_rocauc_embedding", "image_rocauc_map", "pixel_rocauc", "pro")
SCORING_SETTINGS = (
    "gallery",
    "gallery_seed",
    "levels",
    "fusion",
    "upsampling",
    "distance",
    "sigma",
    "kappa",
    "k_image",
    "k_gallery",
)
AVERAGED = tuple(name for name in (*IMAGE_METRICS, *PIXEL_METRICS) if "threshold" not in name)

CATEGORICAL = frozenset(
    {
        *("dataset", "category", "lowest_category", "split", "defect", "status", "mode"),
        *("metric", "method", "verdict", "step", "device"),
        *("backbone", "protocol", "fusion", "upsampling", "distance", "gallery", "dtype", "precision"),
    }
)


def _field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning})


_METRIC_MEANINGS = {
    "rocauc": "area under the ROC curve, ties counted half",
    "average_precision": "average precision",
    "f1_max": "highest F1 over thresholds, chosen on the test set",
    "f1_max_threshold": "score at and above which that F1 is reached",
}
_INTERVAL_MEANINGS = {
    "image": "DeLong over the test images, logit scale; null with fewer than two of a class",
    "pixel": "bootstrap over the test images; null where one kind has a single image",
    "pro": "bootstrap over the test images; null where one kind has a single image",
}
_RULE_MEANINGS = {
    "embedding": "scores: spade's are the mean of the K squared distances of embeddings (equation 2), other "
    "methods' are by their own rule",
    "map": "scores: mean of the highest 1 % of the anomaly map",
}

_METHOD = _field("method", pa.string(), "spade, or another method of the run")
MANIFEST = pa.schema(
    [
        _field("dataset", pa.string(), "name of the dataset", nullable=False),
        _field("category", pa.string(), "name of the category", nullable=False),
        _field(
            "split", pa.string(), "train, test, or ground_truth: a mask that no image claims", nullable=False
        ),
        _field("image_id", pa.string(), "path below the dataset's root", nullable=False),
        _field("sha256", pa.string(), "of the file; null where it could not be read"),
        _field("bytes", pa.int64(), "size of the file"),
        _field("width", pa.int32(), "of the image, its orientation tag applied, pixels"),
        _field("height", pa.int32(), "of the image, its orientation tag applied, pixels"),
        _field("mode", pa.string(), "of its pixels, as Pillow calls it"),
        _field("anomalous", pa.bool_(), "label", nullable=False),
        _field("defect", pa.string(), "kind of defect, or good", nullable=False),
        _field("mask", pa.string(), "path of its mask below the dataset's root"),
        _field("mask_sha256", pa.string(), "digest of the mask, and of the threshold it is read with"),
        _field("mask_reason", pa.string(), "why an anomalous image has no usable mask"),
        _field("status", pa.string(), "ok or set aside", nullable=False),
        _field("reason", pa.string(), "why it was set aside"),
        _field("warning", pa.string(), "what is odd about a file that is used"),
    ]
)

CATEGORIES = pa.schema(
    [
        _field("dataset", pa.string(), "name of the dataset", nullable=False),
        _field("category", pa.string(), "name of the category", nullable=False),
        _METHOD,
        _field("status", pa.string(), "ok or failed", nullable=False),
        _field("reason", pa.string(), "why it failed"),
        *(
            _field(
                f"image_{metric}_{rule}",
                pa.float64(),
                f"image level: {_METRIC_MEANINGS[metric]}; {_RULE_MEANINGS[rule]}",
            )
            for rule in SCORE_RULES
            for metric in CURVE_METRICS
        ),
        *(
            _field(f"pixel_{metric}", pa.float64(), f"pixel level: {_METRIC_MEANINGS[metric]}")
            for metric in CURVE_METRICS
        ),
        _field(
            "pro", pa.float64(), "per-region overlap integrated to a false-positive rate of 0.3, over 0.3"
        ),
        *(
            _field(
                f"{metric}_{end}",
                pa.float64(),
                f"{end} end of its 95 % interval: {_INTERVAL_MEANINGS[metric.split('_')[0]]}",
            )
            for metric in COMPARED
            for end in ("low", "high")
        ),
        _field("image_reason", pa.string(), "why the image metrics are null"),
        _field("pixel_reason", pa.string(), "why the pixel metrics are null"),
        _field("train", pa.int64(), "training images used"),
        _field("test_normal", pa.int64(), "normal test images used"),
        _field("test_anomalous", pa.int64(), "anomalous test images used"),
        _field("pixel_images", pa.int64(), "test images in the pixel metrics"),
        _field("without_mask", pa.int64(), "anomalous test images without a usable mask"),
        _field("set_aside", pa.int64(), "files set aside, with their reasons in the manifest"),
        _field("k_image", pa.int64(), "spade: neighbours in the image score, at most the training images"),
        _field("k_gallery", pa.int64(), "spade: images in the gallery, at most the training images"),
        _field("metric_resolution", pa.int64(), "side of anomaly maps and masks, pixels"),
        _field("index", pa.string(), "kind of index that was used: flat, hnsw or ivf"),
        _field("index_recall", pa.float64(), "share of the nearest K that it finds, on a sample; flat: 1"),
        _field("score_key", pa.string(), "digest of all that determines the scores"),
        _field(
            "metrics_key",
            pa.string(),
            "digest of the test images, labels and masks: finds the metrics and their profile",
        ),
    ]
)

SUMMARY = pa.schema(
    [
        _METHOD,
        _field("metric", pa.string(), "a metric's column in the categories table", nullable=False),
        _field("mean", pa.float64(), "mean over the categories that have it"),
        _field("lowest", pa.float64(), "lowest over the categories"),
        _field("lowest_category", pa.string(), "the category of the lowest"),
        _field("categories", pa.int64(), "categories that have it", nullable=False),
        _field("categories_without", pa.int64(), "categories that do not", nullable=False),
    ]
)

IMAGES = pa.schema(
    [
        _field("dataset", pa.string(), "name of the dataset", nullable=False),
        _field("category", pa.string(), "name of the category", nullable=False),
        _METHOD,
        _field("image_id", pa.string(), "path below the dataset's root", nullable=False),
        _field("sha256", pa.string(), "of the file; null where it could not be read"),
        _field("anomalous", pa.bool_(), "label", nullable=False),
        _field("defect", pa.string(), "kind of defect, or good", nullable=False),
        _field("status", pa.string(), "ok, set aside or not scored", nullable=False),
        _field("reason", pa.string(), "why it has no score"),
        _field("mask_reason", pa.string(), "why it is not in the pixel metrics"),
        _field("warning", pa.string(), "what is odd about it"),
        _field(
            "score_embedding",
            pa.float64(),
            "spade: mean of the K squared distances of embeddings (equation 2); others: their own rule",
        ),
        _field("score_map", pa.float64(), "mean of the highest 1 % of the anomaly map, where there is one"),
        _field("score_key", pa.string(), "digest of all that determines the scores"),
    ]
)

NEIGHBORS = pa.schema(
    [
        _field("category", pa.string(), "name of the category", nullable=False),
        _field("image_id", pa.string(), "the test image", nullable=False),
        _field("rank", pa.int32(), "1 is the nearest", nullable=False),
        _field("neighbor_id", pa.string(), "the training image", nullable=False),
        _field("squared_distance", pa.float64(), "of the embeddings", nullable=False),
    ]
)

COMPARISONS = pa.schema(
    [
        _field("reference_run", pa.string(), "the run compared with, null if there is none"),
        _field("dataset", pa.string(), "name of the dataset", nullable=False),
        _field("category", pa.string(), "name of the category", nullable=False),
        _METHOD,
        _field("metric", pa.string(), "a metric's column in the categories table", nullable=False),
        _field("value", pa.float64(), "of this run"),
        _field("reference", pa.float64(), "value of the reference run"),
        _field("difference", pa.float64(), "value less reference"),
        _field("low", pa.float64(), "low end of the 95 % interval of the paired difference"),
        _field("high", pa.float64(), "high end of it"),
        _field(
            "verdict",
            pa.string(),
            "worse or better: beyond the tolerance, and the interval excludes 0; same; new; gone; "
            "not comparable",
            nullable=False,
        ),
        _field("reason", pa.string(), "why it is not comparable, new or gone"),
    ]
)

METHOD_COMPARISONS = pa.schema(
    [
        _field("dataset", pa.string(), "name of the dataset", nullable=False),
        _field("category", pa.string(), "name of the category", nullable=False),
        _field("metric", pa.string(), "a metric's column in the categories table", nullable=False),
        _field("method", pa.string(), "one method", nullable=False),
        _field("reference", pa.string(), "the other, on the same images", nullable=False),
        _field("difference", pa.float64(), "metric of the method less that of the reference"),
        _field("low", pa.float64(), "low end of the 95 % interval of the paired difference"),
        _field("high", pa.float64(), "high end of it"),
        _field(
            "p_value",
            pa.float64(),
            "DeLong: of no difference, not corrected for the number of pairs; image metrics",
        ),
        _field(
            "verdict",
            pa.string(),
            "better or worse: the interval excludes 0; same; not comparable",
            nullable=False,
        ),
        _field("reason", pa.string(), "why it is not comparable"),
    ]
)

CHANGES = pa.schema(
    [
        _field("kind", pa.string(), "added, changed, relabelled, renamed or removed", nullable=False),
        _field("category", pa.string(), "name of the category", nullable=False),
        _field("split", pa.string(), "train or test", nullable=False),
        _field("image_id", pa.string(), "path below the dataset's root", nullable=False),
        _field("previous_id", pa.string(), "the path that a renamed image had"),
    ]
)

STAGES = pa.schema(
    [
        _field("step", pa.string(), "ingest, extract, index, fit, score or summarize", nullable=False),
        _field("category", pa.string(), "null for a step of the whole dataset"),
        _field("method", pa.string(), "null for a step that serves all methods"),
        _field("seconds", pa.float64(), "wall time, seconds", nullable=False),
        _field("computed", pa.int64(), "items computed in this run", nullable=False),
        _field("total", pa.int64(), "items, with those found in the store", nullable=False),
        _field(
            "peak_memory_mib",
            pa.float64(),
            "highest resident memory of the process from its start to the end of the step, MiB",
        ),
        _field(
            "state_mib",
            pa.float64(),
            "what scoring has to hold of the training images, MiB; null where nothing was scored",
        ),
    ]
)

RUN = pa.schema(
    [
        _field(
            "status",
            pa.string(),
            "complete; partial: a category failed; interrupted: the run died",
            nullable=False,
        ),
        _field("started", pa.timestamp("us", tz="UTC"), "when the job was prepared", nullable=False),
        _field("finished", pa.timestamp("us", tz="UTC"), "when the tables were published", nullable=False),
        _field("seconds", pa.float64(), "between them, seconds", nullable=False),
        _field("dataset", pa.string(), "name of the dataset", nullable=False),
        _field("root", pa.string(), "its folder or URL", nullable=False),
        _field("layout", pa.string(), "how its files are told apart, as JSON", nullable=False),
        _field("categories", pa.int64(), "categories evaluated", nullable=False),
        _field("failed", pa.int64(), "categories that failed", nullable=False),
        _field(
            "worse",
            pa.int64(),
            "metrics that got worse than in the last good run",
            nullable=False,
        ),
        _field("images", pa.int64(), "images used", nullable=False),
        _field("set_aside", pa.int64(), "files set aside", nullable=False),
        _field("methods", pa.list_(pa.string()), "that were evaluated"),
        _field("backbone", pa.string(), "network", nullable=False),
        _field(
            "protocol",
            pa.string(),
            "paper: resize 256, crop 224; full: resize 224; full256: resize 256",
            nullable=False,
        ),
        _field("levels", pa.list_(pa.int32()), "strides of the levels matched", nullable=False),
        _field("k_image", pa.int64(), "as asked for", nullable=False),
        _field("k_gallery", pa.int64(), "as asked for", nullable=False),
        _field("gallery", pa.string(), "nearest or random training images", nullable=False),
        _field("gallery_seed", pa.int64(), "of the random ones", nullable=False),
        _field("index", pa.string(), "flat, hnsw or ivf, above flat_up_to", nullable=False),
        _field("flat_up_to", pa.int64(), "training images up to which the index is flat", nullable=False),
        _field("kappa", pa.int64(), "nearest patches averaged", nullable=False),
        _field("fusion", pa.string(), "of the levels", nullable=False),
        _field("upsampling", pa.string(), "of coarse levels in concatenation", nullable=False),
        _field("distance", pa.string(), "of patches", nullable=False),
        _field("sigma", pa.float64(), "of the Gaussian filter, pixels", nullable=False),
        _field("metric_resolution", pa.int64(), "side of anomaly maps, pixels", nullable=False),
        _field("dtype", pa.string(), "of the stored features", nullable=False),
        _field("precision", pa.string(), "of the backbone's products", nullable=False),
        _field(
            "configuration_key",
            pa.string(),
            "digest of all settings but the weights: runs that have it in common are compared",
            nullable=False,
        ),
        _field("sweep", pa.string(), "the sweep that the run is a point of"),
        _field("sweep_points", pa.int64(), "how many points that sweep has"),
        _field("device", pa.string(), "that computed", nullable=False),
        _field("batch_size", pa.int64(), "images in a forward pass", nullable=False),
        _field("weights", pa.string(), "file of them that the user named; null for the published ones"),
        _field("weights_sha256", pa.string(), "of the weights' file", nullable=False),
        _field(
            "feature_key", pa.string(), "digest of backbone, weights, preprocessing, dtype", nullable=False
        ),
        _field("data_digest", pa.string(), "of the images, labels and masks used", nullable=False),
        _field(
            "fingerprint", pa.string(), "of settings, weights and data: equal runs are equal", nullable=False
        ),
        _field(
            "peak_memory_mib", pa.float64(), "highest resident memory of the process, MiB", nullable=False
        ),
        _field("git_commit", pa.string(), "of the code, where it is a checkout"),
        _field("versions", pa.map_(pa.string(), pa.string()), "of Python and packages", nullable=False),
    ]
)

REPRODUCTION = pa.schema(
    [
        _field("table", pa.int64(), "of the paper", nullable=False),
        _field("metric", pa.string(), "image_rocauc, pixel_rocauc or pro", nullable=False),
        _field(
            "category",
            pa.string(),
            "name of the category; average: of all 15; average of these: of those that were evaluated",
            nullable=False,
        ),
        _field("method", pa.string(), "variant of the method, as the paper names it", nullable=False),
        _field("k", pa.int64(), "of the published figure", nullable=False),
        _field("published", pa.float64(), "the paper's figure, a share of 1", nullable=False),
        _field("ours", pa.float64(), "the same metric of the run, a share of 1"),
        _field("difference", pa.float64(), "ours less published; null where they are not of the same"),
        _field("categories", pa.int64(), "how many ours is the mean of", nullable=False),
        _field("point", pa.string(), "id of the run that ours is of", nullable=False),
        _field("reason", pa.string(), "why ours or the difference is null"),
        _field(
            "differs",
            pa.list_(pa.string()),
            "which settings and images of ours are not the paper's: with none, the figures are comparable",
            nullable=False,
        ),
    ]
)

TABLES = {
    "runs": (RUN, "One row a run: what was computed, from what, with what. Every run's, oldest first."),
    "categories": (CATEGORIES, "One row a category and method: counts and every metric."),
    "summary": (SUMMARY, "One row a method and metric: its average over the categories."),
    "images": (IMAGES, "One row a test image and method."),
    "neighbors": (NEIGHBORS, "One row a test image and rank: the training images nearest to it."),
    "comparisons": (
        COMPARISONS,
        "One row a category, method and metric: the difference from the last good run.",
    ),
    "method_comparisons": (
        METHOD_COMPARISONS,
        "One row a category, metric and pair of the run's methods: how they differ on the same images.",
    ),
    "changes": (
        CHANGES,
        "One row an image that changed since the last good run of the same dataset and configuration.",
    ),
    "stages": (STAGES, "One row a step, category and method: what it took."),
    "reproduction": (
        REPRODUCTION,
        "One row a figure of the paper for SPADE: the same of our runs, and the difference. "
        "`run` is the id of the reproduction.",
    ),
    "manifest": (MANIFEST, "One row a file of the dataset, as the run saw it."),
}
