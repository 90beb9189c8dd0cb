"""Columns of the result tables; what each holds stands in the Parquet file."""

from __future__ import annotations

import pyarrow as pa

CURVE_METRICS = ("rocauc", "average_precision", "f1_max", "f1_max_threshold")
SCORE_RULES = ("embedding", "map")
IMAGE_METRICS = tuple(f"image_{metric}_{rule}" for rule in SCORE_RULES for metric in CURVE_METRICS)
PIXEL_METRICS = (*(f"pixel_{metric}" for metric in CURVE_METRICS), "pro")
AVERAGED = tuple(name for name in (*IMAGE_METRICS, *PIXEL_METRICS) if "threshold" not in name)


def _field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning})


_METRIC_MEANINGS = {
    "rocauc": "area under the ROC curve, ties counted half",
    "average_precision": "average precision",
    "f1_max": "highest F1 over thresholds, chosen on the test set",
    "f1_max_threshold": "score at and above which that F1 is reached",
}
_RULE_MEANINGS = {
    "embedding": "scores: mean of the K squared distances of embeddings (equation 2)",
    "map": "scores: mean of the highest 1 % of the anomaly map",
}

CATEGORIES = pa.schema(
    [
        _field("dataset", pa.string(), "name of the dataset", nullable=False),
        _field("category", pa.string(), "name of the category", nullable=False),
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
        _field("image_reason", pa.string(), "why the image metrics are null"),
        _field("pixel_reason", pa.string(), "why the pixel metrics are null"),
        _field("train", pa.int64(), "training images used"),
        _field("test_normal", pa.int64(), "normal test images used"),
        _field("test_anomalous", pa.int64(), "anomalous test images used"),
        _field("pixel_images", pa.int64(), "test images in the pixel metrics"),
        _field("without_mask", pa.int64(), "anomalous test images without a usable mask"),
        _field("set_aside", pa.int64(), "files set aside, with their reasons in the manifest"),
        _field("k_image", pa.int64(), "neighbours in the image score, at most the training images"),
        _field("k_gallery", pa.int64(), "images in the gallery, at most the training images"),
        _field("metric_resolution", pa.int64(), "side of anomaly maps and masks, pixels"),
        _field("score_key", pa.string(), "digest of all that determines the scores"),
    ]
)

SUMMARY = pa.schema(
    [
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
        _field("image_id", pa.string(), "path below the dataset's root", nullable=False),
        _field("sha256", pa.string(), "of the file"),
        _field("anomalous", pa.bool_(), "label", nullable=False),
        _field("defect", pa.string(), "kind of defect, or good", nullable=False),
        _field("status", pa.string(), "ok, set aside or not scored", nullable=False),
        _field("reason", pa.string(), "why it has no score"),
        _field("mask_reason", pa.string(), "why it is not in the pixel metrics"),
        _field("warning", pa.string(), "what is odd about it"),
        _field("score_embedding", pa.float64(), "mean of the K squared distances of embeddings (equation 2)"),
        _field("score_map", pa.float64(), "mean of the highest 1 % of the anomaly map"),
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

STAGES = pa.schema(
    [
        _field("step", pa.string(), "ingest, extract, index, score or summarize", nullable=False),
        _field("category", pa.string(), "null for a step of the whole dataset"),
        _field("seconds", pa.float64(), "wall time", nullable=False),
        _field("computed", pa.int64(), "items computed in this run", nullable=False),
        _field("total", pa.int64(), "items, with those found in the store", nullable=False),
    ]
)

RUN = pa.schema(
    [
        _field("status", pa.string(), "complete, or partial when a category failed", nullable=False),
        _field("started", pa.timestamp("us", tz="UTC"), "when the job was prepared", nullable=False),
        _field("finished", pa.timestamp("us", tz="UTC"), "when the tables were published", nullable=False),
        _field("seconds", pa.float64(), "between them", nullable=False),
        _field("dataset", pa.string(), "name of the dataset", nullable=False),
        _field("root", pa.string(), "its folder", nullable=False),
        _field("categories", pa.int64(), "categories evaluated", nullable=False),
        _field("failed", pa.int64(), "categories that failed", nullable=False),
        _field("images", pa.int64(), "images used", nullable=False),
        _field("set_aside", pa.int64(), "files set aside", nullable=False),
        _field("backbone", pa.string(), "network", nullable=False),
        _field("protocol", pa.string(), "paper: resize 256, crop 224; full: resize 224", nullable=False),
        _field("levels", pa.list_(pa.int32()), "strides of the levels matched", nullable=False),
        _field("k_image", pa.int64(), "as asked for", nullable=False),
        _field("k_gallery", pa.int64(), "as asked for", nullable=False),
        _field("kappa", pa.int64(), "nearest patches averaged", nullable=False),
        _field("fusion", pa.string(), "of the levels", nullable=False),
        _field("upsampling", pa.string(), "of coarse levels in concatenation", nullable=False),
        _field("distance", pa.string(), "of patches", nullable=False),
        _field("sigma", pa.float64(), "of the Gaussian filter, pixels", nullable=False),
        _field("metric_resolution", pa.int64(), "side of anomaly maps, pixels", nullable=False),
        _field("dtype", pa.string(), "of the stored features", nullable=False),
        _field("precision", pa.string(), "of the backbone's products", nullable=False),
        _field("device", pa.string(), "that computed", nullable=False),
        _field("batch_size", pa.int64(), "images in a forward pass", nullable=False),
        _field("weights_sha256", pa.string(), "of the weights' file", nullable=False),
        _field(
            "feature_key", pa.string(), "digest of backbone, weights, preprocessing, dtype", nullable=False
        ),
        _field("data_digest", pa.string(), "of the images, labels and masks used", nullable=False),
        _field(
            "fingerprint", pa.string(), "of settings, weights and data: equal runs are equal", nullable=False
        ),
        _field("peak_memory_mib", pa.float64(), "highest resident memory of the process", nullable=False),
        _field("git_commit", pa.string(), "of the code, where it is a checkout"),
        _field("versions", pa.map_(pa.string(), pa.string()), "of Python and packages", nullable=False),
    ]
)
