"""Columns of the result tables; what each holds stands in the Parquet file."""

from __future__ import annotations

import pyarrow as pa

from storage.results.metrics import BY_IMAGE, COMPARED, EXCUSED, METRICS, SCORE_RULES

INTERRUPTED = "interrupted"  # status of a run that died: it has a record, and no other table


def field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = True, **more: str) -> pa.Field:
    """A column; what it means, and `more`, stand in the schema of each Parquet file."""
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning, **more})


def label(name: str, meaning: str, *, nullable: bool = True, **more: str) -> pa.Field:
    """A column of texts that recur: a categorical in pandas."""
    return field(name, pa.string(), meaning, nullable=nullable, label="yes", **more)


THRESHOLD_RULES = {"embedding": "score_embedding", "map": "score_map", "pixel": "peak"}
_METHOD = label("method", "its name, with the settings that are not the published ones", nullable=False)
_OF_CATEGORY = (
    label("dataset", "name of the dataset", nullable=False),
    label("category", "name of the category", nullable=False),
)
_OF_METHOD = (*_OF_CATEGORY, _METHOD)
MANIFEST = pa.schema(
    [
        *_OF_CATEGORY,
        label(
            "split",
            "train, validation, test, unlabelled, or ground_truth: a mask that no image claims",
            nullable=False,
        ),
        field(
            "image_id",
            pa.string(),
            "path below the dataset's root; bytes that are not UTF-8 are escaped, as in caf\\xe9.png",
            nullable=False,
        ),
        field("sha256", pa.string(), "of the file; null where it could not be read"),
        field(
            "stamp", pa.string(), "size, time and inode, or ETag: while it is the same, the file is not read"
        ),
        field("bytes", pa.int64(), "size of the file"),
        field("width", pa.int32(), "of the image, its orientation tag applied, pixels"),
        field("height", pa.int32(), "of the image, its orientation tag applied, pixels"),
        label("mode", "of its pixels, as Pillow calls it"),
        field("anomalous", pa.bool_(), "label; null where there is none"),
        label("defect", "kind of defect, good, or unlabelled", nullable=False),
        field("sample", pa.string(), "the piece that it is one of several views of"),
        field("masks", pa.list_(pa.string()), "paths of its masks below the dataset's root", nullable=False),
        field(
            "mask_sha256", pa.string(), "of the mask's file, or of the digests of several; null if not used"
        ),
        field("mask_stamp", pa.string(), "as stamp, of the masks"),
        field("mask_peak", pa.float64(), "highest value of the masks on the scale of 0 to 255"),
        field("mask_threshold", pa.int64(), "value on that scale above which a pixel is anomalous"),
        field(
            "mask_saturations",
            pa.list_(pa.float64()),
            "of each mask, the share of its defect that has to be found for all of it to count; null where "
            "none is stated; empty where the dataset states none",
            nullable=False,
        ),
        field("mask_reason", pa.string(), "why an anomalous image has no usable mask"),
        label("status", "ok or set aside", nullable=False),
        field("reason", pa.string(), "why it was set aside"),
        field("warning", pa.string(), "what is odd about a file that is used"),
    ]
)

CATEGORIES = pa.schema(
    [
        *_OF_METHOD,
        label("status", "ok or failed", nullable=False),
        field("reason", pa.string(), "why it failed"),
        *(field(each.name, pa.float64(), f"{each.described}. Here: {each.convention}") for each in METRICS),
        *(
            field(name, pa.float64(), f"{end} end of its 95 % interval: {metric.interval}")
            for metric in COMPARED
            for end, name in (("low", metric.low), ("high", metric.high))
        ),
        field("image_reason", pa.string(), "why the image metrics are null"),
        field("pixel_reason", pa.string(), "why the pixel metrics are null"),
        field(
            "sample_reason", pa.string(), "why the sample metrics are null where the image metrics are not"
        ),
        field("map_reason", pa.string(), "why there is no anomaly map, and nothing that is measured on it"),
        *(
            field(
                metric.own_reason,
                pa.string(),
                f"why {metric.title} is null where other pixel metrics are not",
            )
            for metric in EXCUSED
        ),
        field("train", pa.int64(), "training images used"),
        field("test_normal", pa.int64(), "normal test images used"),
        field("test_anomalous", pa.int64(), "anomalous test images used"),
        field("unlabelled", pa.int64(), "test images without a label: scored, and in no metric"),
        field("pixel_images", pa.int64(), "test images in the pixel metrics"),
        field("without_mask", pa.int64(), "anomalous test images without a usable mask"),
        field("set_aside", pa.int64(), "files set aside, with their reasons in the manifest"),
        field("k_image", pa.int64(), "spade: neighbours in the image score, at most the training images"),
        field("k_gallery", pa.int64(), "spade: images in the gallery, at most the training images"),
        field("metric_resolution", pa.int64(), "side of anomaly maps and masks, pixels"),
        field("score_key", pa.string(), "digest of all that determines the scores"),
        field(
            "metrics_key",
            pa.string(),
            "digest of the test images, labels and masks: finds the metrics and their profile",
        ),
    ]
)

SUMMARY = pa.schema(
    [
        _METHOD,
        label("metric", "a metric's column in the categories table", nullable=False),
        field("mean", pa.float64(), "mean over the categories that have it"),
        field(
            "low",
            pa.float64(),
            "low end of its 95 % interval, other images of the same categories: theirs combined (Zou and "
            "Donner 2008); null where a category has the metric and no interval",
        ),
        field("high", pa.float64(), "high end of it"),
        field("lowest", pa.float64(), "lowest over the categories"),
        label("lowest_category", "the category of the lowest"),
        field("categories", pa.int64(), "categories that have it", nullable=False),
        field("categories_without", pa.int64(), "categories that do not", nullable=False),
    ]
)

IMAGES = pa.schema(
    [
        *_OF_METHOD,
        field("image_id", pa.string(), "path below the dataset's root", nullable=False),
        field("sha256", pa.string(), "of the file; null where it could not be read"),
        label(
            "split",
            "test; validation: normal, and in no metric; unlabelled: in no metric",
            nullable=False,
        ),
        field("anomalous", pa.bool_(), "label; null where there is none"),
        label("defect", "kind of defect, good, or unlabelled", nullable=False),
        field("sample", pa.string(), "the piece that it is one of several views of"),
        label("status", "ok, set aside or not scored", nullable=False),
        field("reason", pa.string(), "why it has no score"),
        field("mask_reason", pa.string(), "why it is not in the pixel metrics"),
        field("warning", pa.string(), "what is odd about it"),
        field(
            "score_embedding",
            pa.float64(),
            "spade: mean of the K squared distances of embeddings (equation 2); others: their own rule",
        ),
        field("score_map", pa.float64(), "mean of the highest 1 % of the anomaly map, where there is one"),
        *(
            field(metric.name, pa.float64(), f"of this image, if it is anomalous: {metric.meaning}")
            for metric in BY_IMAGE
        ),
        field("peak", pa.float64(), "highest value of the anomaly map; null without an operating point"),
        *(
            field(
                f"flagged_{rule}",
                pa.bool_(),
                f"{score} above the threshold of the operating point; null without one",
            )
            for rule, score in THRESHOLD_RULES.items()
        ),
        field("score_key", pa.string(), "digest of all that determines the scores"),
    ]
)

NEIGHBORS = pa.schema(
    [
        label("category", "name of the category", nullable=False),
        _METHOD,
        field("image_id", pa.string(), "the test image", nullable=False),
        field("rank", pa.int32(), "1 is the nearest", nullable=False),
        field("neighbor_id", pa.string(), "the training image", nullable=False),
        field("squared_distance", pa.float64(), "of the embeddings", nullable=False),
    ]
)

KINDS = pa.schema(
    [
        *_OF_METHOD,
        label("defect", "kind of defect", nullable=False),
        field("images", pa.int64(), "anomalous test images of this kind that are scored", nullable=False),
        *(
            field(f"image_{measure}_{rule}", pa.float64(), f"{meaning}; score_{rule}")
            for rule in SCORE_RULES
            for measure, meaning in (
                ("rocauc", "ROCAUC of these images and all normal ones; null without a normal image"),
                ("recall", "share of these images at or above the category's F1-max threshold"),
                ("f1", "F1 of these images and all normal ones at that threshold"),
            )
        ),
        *(
            field(each.name, pa.float64(), f"mean over these images of their {each.title}")
            for each in BY_IMAGE
        ),
    ]
)


_RULE = label(
    "rule",
    "which score: "
    + ", ".join(f"{rule}: {score}" for rule, score in THRESHOLD_RULES.items())
    + ", the highest value of the map",
    nullable=False,
)


def _share(count: str, rate: str, of: str) -> tuple[pa.Field, ...]:
    """A count, its share, and the interval of it."""
    return (
        field(count, pa.int64(), of),
        field(rate, pa.float64(), f"their share of {of.split(' ', 1)[0]} test images"),
        field(f"{rate}_low", pa.float64(), "low end of its 95 % interval, Clopper and Pearson"),
        field(f"{rate}_high", pa.float64(), "high end of it"),
    )


_SEGMENTATION = (
    field(
        "seg_f1",
        pa.float64(),
        "rule pixel: F1 of the pixels of all test images with a usable mask, those above the threshold "
        "predicted anomalous",
    ),
    field(
        "pixel_false_positive_rate",
        pa.float64(),
        "rule pixel: share of their normal pixels above the threshold",
    ),
)
OPERATING = pa.schema(
    [
        *_OF_METHOD,
        _RULE,
        field("fpr", pa.float64(), "false-positive rate that was named", nullable=False),
        field(
            "threshold",
            pa.float64(),
            "a score above it counts as anomalous: conformal quantile of scores of normal images; no test "
            "image has a part in it",
        ),
        field("threshold_images", pa.int64(), "how many normal images it is from", nullable=False),
        label("threshold_source", "validation, or held-out training images", nullable=False),
        field("reason", pa.string(), "why there is no threshold"),
        field("normal", pa.int64(), "normal test images", nullable=False),
        field("anomalous", pa.int64(), "anomalous test images", nullable=False),
        *_share("false_alarms", "false_alarm_rate", "normal test images above the threshold"),
        *_share("missed", "miss_rate", "anomalous test images not above it"),
        *_SEGMENTATION,
    ]
)

ROBUSTNESS = pa.schema(
    [
        *_OF_METHOD,
        _RULE,
        label("corruption", "what was done to the test images; none: they are as they are", nullable=False),
        field("severity", pa.int32(), "1 to 5; 0 of none", nullable=False),
        field("amount", pa.float64(), "how much was done: see docs/evaluating.md; null of none"),
        field("fpr", pa.float64(), "false-positive rate that was named", nullable=False),
        field(
            "threshold",
            pa.float64(),
            "that of the operating point, from normal images as they are, for all corruptions",
        ),
        field("normal", pa.int64(), "normal test images", nullable=False),
        field("anomalous", pa.int64(), "anomalous test images", nullable=False),
        field("rocauc", pa.float64(), "image ROCAUC of this score"),
        field("rocauc_low", pa.float64(), "low end of its 95 % interval, DeLong, logit scale"),
        field("rocauc_high", pa.float64(), "high end of it"),
        *_share("false_alarms", "false_alarm_rate", "normal test images above the threshold"),
        *_share("missed", "miss_rate", "anomalous test images not above it"),
        field("reason", pa.string(), "why ROCAUC, false alarms and misses, or some of them, are null"),
    ]
)

MISSES = pa.schema(
    [
        *_OF_METHOD,
        _RULE,
        label("defect", "kind of defect", nullable=False),
        field("images", pa.int64(), "anomalous test images of this kind", nullable=False),
        *_share("missed", "miss_rate", "these test images not above the threshold"),
    ]
)

OPERATING_CURVE = pa.schema(
    [
        *_OF_METHOD,
        _RULE,
        field("fpr", pa.float64(), "a false-positive rate that could be named", nullable=False),
        field("threshold", pa.float64(), "the threshold that it would have, from the same normal images"),
        field("false_alarm_rate", pa.float64(), "share of the normal test images above it"),
        field("miss_rate", pa.float64(), "share of the anomalous test images not above it"),
        *_SEGMENTATION,
    ]
)

REGIONS = pa.schema(
    [
        *_OF_METHOD,
        field("image_id", pa.string(), "path below the dataset's root", nullable=False),
        field("region", pa.int32(), "its number in the image, 1 has the highest peak", nullable=False),
        label("defect", "what the image is labelled: kind of defect, good, or unlabelled", nullable=False),
        *(
            field(name, pa.int64(), f"{meaning}, pixels", nullable=False)
            for name, meaning in (
                ("left", "first column of its box"),
                ("top", "first row of its box"),
                ("width", "of its box"),
                ("height", "of its box"),
                ("area", "of the region itself"),
                ("peak_x", "column of its highest score"),
                ("peak_y", "row of its highest score"),
                ("image_width", "of the image"),
                ("image_height", "of the image"),
            )
        ),
        field("x", pa.float64(), "mean column of its pixels", nullable=False),
        field("y", pa.float64(), "mean row of its pixels", nullable=False),
        field("peak", pa.float64(), "its highest score", nullable=False),
        field("mean", pa.float64(), "its mean score", nullable=False),
        field("threshold", pa.float64(), "that the scores exceed: of rule pixel", nullable=False),
        field("true_share", pa.float64(), "share of its pixels in the true mask; null without one"),
    ]
)


DRIFT = pa.schema(
    [
        *_OF_CATEGORY,
        label(
            "measure",
            "embedding; distance: mean squared distance of the embedding to the 5 nearest of one half of the "
            "training images, of the other half and of test images; brightness and contrast: mean and "
            "standard deviation of grey values, to 1; size: width and height",
            nullable=False,
        ),
        field("train", pa.int64(), "training images compared, at most 400", nullable=False),
        field("test", pa.int64(), "normal test images compared, at most 400", nullable=False),
        field("train_mean", pa.float64(), "mean over the training images, of a measure that is a number"),
        field("test_mean", pa.float64(), "mean over the normal test images"),
        field("statistic", pa.float64(), "energy distance of the two (Székely and Rizzo 2013)"),
        field("p_value", pa.float64(), "share of permutations of the images with as much"),
        field("p_adjusted", pa.float64(), "it by Holm's method over the measures and categories of the run"),
        label(
            "verdict",
            "drifted: p_adjusted is at most 0.01, and the means, where there are any, differ by 5 % or more; "
            "same; not comparable",
            nullable=False,
        ),
        field("reason", pa.string(), "why it is not comparable"),
    ]
)


def _test(family: str) -> tuple[pa.Field, ...]:
    """Columns of a paired test, corrected over a family."""
    return (
        field(
            "p_value",
            pa.float64(),
            "two-sided, of no difference: DeLong for image metrics; for pixel metrics by the standard error "
            "of a paired bootstrap over images",
        ),
        field("p_adjusted", pa.float64(), f"it by Holm's method, metric by metric, over the {family}"),
        field(
            "detectable",
            pa.float64(),
            "smallest difference that as many images show 8 times in 10: 2.80 standard errors of the paired "
            "difference; null where nothing varies",
        ),
    )


COMPARISONS = pa.schema(
    [
        field("reference_run", pa.string(), "the run compared with, null if there is none"),
        *_OF_METHOD,
        label("metric", "a metric's column in the categories table", nullable=False),
        field("value", pa.float64(), "of this run"),
        field("reference", pa.float64(), "value of the reference run"),
        field("difference", pa.float64(), "value less reference"),
        field("low", pa.float64(), "low end of the 95 % interval of the paired difference"),
        field("high", pa.float64(), "high end of it"),
        *_test("categories and methods of the run"),
        label(
            "verdict",
            "worse or better: beyond the tolerance, and the interval excludes 0; same; new; gone; "
            "not comparable",
            nullable=False,
        ),
        field("reason", pa.string(), "why it is not comparable, new or gone"),
    ]
)

METHOD_COMPARISONS = pa.schema(
    [
        *_OF_CATEGORY,
        label("metric", "a metric's column in the categories table", nullable=False),
        label("method", "one method", nullable=False),
        field("reference", pa.string(), "the other, on the same images", nullable=False),
        field("difference", pa.float64(), "metric of the method less that of the reference"),
        field("low", pa.float64(), "low end of the 95 % interval of the paired difference"),
        field("high", pa.float64(), "high end of it"),
        *_test("categories and pairs of methods of the run"),
        label(
            "verdict",
            "better or worse: the interval excludes 0; same; not comparable",
            nullable=False,
        ),
        field("reason", pa.string(), "why it is not comparable"),
    ]
)

CHANGES = pa.schema(
    [
        field("kind", pa.string(), "added, changed, relabelled, renamed or removed", nullable=False),
        label("category", "name of the category", nullable=False),
        label("split", "train, validation, test or unlabelled", nullable=False),
        field("image_id", pa.string(), "path below the dataset's root", nullable=False),
        field("previous_id", pa.string(), "the path that a renamed image had"),
    ]
)

STAGES = pa.schema(
    [
        label("step", "ingest, extract, index, drift, fit, score, summarize or operate", nullable=False),
        label("category", "null for a step of the whole dataset"),
        label("method", "null for a step that serves all methods"),
        field("score_key", pa.string(), "of the method's scores"),
        field("seconds", pa.float64(), "wall time, seconds", nullable=False),
        field("computed", pa.int64(), "items computed in this run", nullable=False),
        field("total", pa.int64(), "items, with those found in the store", nullable=False),
        field(
            "peak_memory_mib",
            pa.float64(),
            "highest resident memory of the process from its start to the end of the step, MiB",
        ),
        field(
            "state_mib",
            pa.float64(),
            "what scoring has to hold of the training images, MiB; null where nothing was scored",
        ),
    ]
)

RUN_FACTS = pa.schema(
    [
        label(
            "status",
            "complete; partial: a category failed; interrupted: the run died",
            nullable=False,
        ),
        field("started", pa.timestamp("us", tz="UTC"), "when the job was prepared", nullable=False),
        field("finished", pa.timestamp("us", tz="UTC"), "when the tables were published", nullable=False),
        field("seconds", pa.float64(), "between them, seconds", nullable=False),
        label("dataset", "name of the dataset", nullable=False),
        field("root", pa.string(), "its folder or URL", nullable=False),
        field("layout", pa.string(), "how its files are told apart, as JSON", nullable=False),
        field("categories", pa.int64(), "categories evaluated", nullable=False),
        field("failed", pa.int64(), "categories that failed", nullable=False),
        field(
            "worse",
            pa.int64(),
            "metrics that got worse than in the last good run",
            nullable=False,
        ),
        field(
            "drifted",
            pa.int64(),
            "in how many ways normal test images of its categories are not like the training images",
            nullable=False,
        ),
        field("images", pa.int64(), "images used", nullable=False),
        field("set_aside", pa.int64(), "files set aside", nullable=False),
        field("methods", pa.list_(pa.string()), "that were evaluated", nullable=False),
        field(
            "configuration_key",
            pa.string(),
            "digest of all settings but the weights: runs that have it in common are compared",
            nullable=False,
        ),
        field("sweep", pa.string(), "the sweep that the run is a point of"),
        field("sweep_points", pa.int64(), "how many points that sweep has"),
        label("device", "that computed", nullable=False),
        field("batch_size", pa.int64(), "images in a forward pass", nullable=False),
        field("weights_sha256", pa.string(), "of the weights' file", nullable=False),
        field(
            "feature_key", pa.string(), "digest of backbone, weights, preprocessing, dtype", nullable=False
        ),
        field("data_digest", pa.string(), "of the images, labels and masks used", nullable=False),
        field(
            "fingerprint", pa.string(), "of settings, weights and data: equal runs are equal", nullable=False
        ),
        field("peak_memory_mib", pa.float64(), "highest resident memory of the process, MiB", nullable=False),
        field("git_commit", pa.string(), "of the code, where it is a checkout"),
        field("versions", pa.map_(pa.string(), pa.string()), "of Python and packages", nullable=False),
    ]
)

REPRODUCTION = pa.schema(
    [
        field("table", pa.int64(), "of the paper", nullable=False),
        label("metric", "image_rocauc, pixel_rocauc or pro", nullable=False),
        label(
            "category",
            "name of the category; average: of all 15; average of these: of those that were evaluated",
            nullable=False,
        ),
        label("method", "variant of the method, as the paper names it", nullable=False),
        field("k", pa.int64(), "of the published figure", nullable=False),
        field("published", pa.float64(), "the paper's figure, a share of 1", nullable=False),
        field("ours", pa.float64(), "the same metric of the run, a share of 1"),
        field("difference", pa.float64(), "ours less published; null where they are not of the same"),
        field("categories", pa.int64(), "how many ours is the mean of", nullable=False),
        field("point", pa.string(), "id of the run that ours is of", nullable=False),
        field("reason", pa.string(), "why ours or the difference is null"),
        field(
            "differs",
            pa.list_(pa.string()),
            "which settings and images of ours are not the paper's: with none, the figures are comparable",
            nullable=False,
        ),
    ]
)

OPTIONAL_TABLES = ("operating", "misses", "operating_curve", "regions", "robustness")  # if asked for
TABLES = {
    "runs": (RUN_FACTS, "One row a run: what was computed, from what, with what. Every run's, oldest first."),
    "categories": (CATEGORIES, "One row a category and method: counts and every metric."),
    "summary": (SUMMARY, "One row a method and metric: its average over the categories."),
    "images": (IMAGES, "One row a scored image and method."),
    "kinds": (KINDS, "One row a category, method and kind of defect: how well it is found."),
    "operating": (
        OPERATING,
        "One row a category, method and score: the operating point, at the false-positive rate `fpr`. "
        "Without one it has no row, nor have the next three tables.",
    ),
    "misses": (MISSES, "One row a category, method, score and kind of defect: what is missed there."),
    "operating_curve": (
        OPERATING_CURVE,
        "One row a category, method, score and false-positive rate: what another one would cost.",
    ),
    "regions": (
        REGIONS,
        "One row a region of a scored image above the pixel threshold of the operating point, by method; "
        "positions in the image as it was read. Written by `spade export --format coco`, too.",
    ),
    "robustness": (
        ROBUSTNESS,
        "One row a category, method, score, corruption and severity: what it costs. "
        "`spade robustness` fills it.",
    ),
    "neighbors": (NEIGHBORS, "One row a test image, method and rank: the training images nearest to it."),
    "comparisons": (
        COMPARISONS,
        "One row a category, method and metric: the difference from the last good run.",
    ),
    "method_comparisons": (
        METHOD_COMPARISONS,
        "One row a category, metric and pair of the run's methods: how they differ on the same images.",
    ),
    "drift": (
        DRIFT,
        "One row a category and measure: whether its normal test images are like its training images.",
    ),
    "changes": (
        CHANGES,
        "One row an image that changed since the last good run of the same dataset and configuration.",
    ),
    "stages": (
        STAGES,
        "One row a step, category and method: what it took. Methods of an ensemble have rows of their own.",
    ),
    "reproduction": (
        REPRODUCTION,
        "One row a figure of the paper for SPADE: the same of our runs, and the difference. "
        "`run` is the id of the reproduction.",
    ),
    "manifest": (MANIFEST, "One row a file of the dataset, as the run saw it."),
}
