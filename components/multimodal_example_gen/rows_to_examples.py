"""The Beam part of ingest: rows to tf.train.Example, and what was seen to counts."""

import collections
import dataclasses

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components.multimodal_example_gen.readers.picture import StoredPicture
from components.multimodal_example_gen.row import SPLITS, Row, Skip, SkipRowError
from components.words import words_of_text

#: So many ids of skipped rows are kept for each reason.
KEPT_IDS = 20


class RowsToExamples(beam.PTransform):
    """Reads each row's pictures and makes its example.

    Args:
        source: Source. Reads the pictures; it travels to the workers.

    Returns:
        dict from split name, `"skipped"` and `"foreign"` to a collection: of serialized tf.train.Example under a
        split, of `Skip` under `"skipped"`, and under `"foreign"` of the name of an encoding, a string for each picture
        that was converted though a request could not have it.
    """

    def __init__(self, source):
        super().__init__()
        self._source = source

    def expand(self, rows):
        """Applies the transform to a collection of `Row`."""
        return rows | "ReadPictures" >> beam.ParDo(_ReadPictures(self._source)).with_outputs(
            "skipped", "foreign", *SPLITS
        )


class IngestCounts(beam.CombineFn):
    """Counts rows by split and class, words by text, skipped rows by reason, and pictures by foreign encoding.

    Takes what `seen_in` makes of examples, `Skip`s, and names of encodings; gives a dictionary, see `ingest.json` in
    `component.py`.
    """

    def create_accumulator(self):
        """Returns empty counts."""
        return {"rows": {}, "rows_by_class": {}, "words": {}, "skipped": {}, "foreign": {}}

    def add_input(self, accumulator, element):
        """Counts one example or one skipped row."""
        if isinstance(element, Skip):
            entry = accumulator["skipped"].setdefault(element.reason, {"count": 0, "ids": [], "messages": []})
            entry["count"] += 1
            entry["ids"].append(element.id)
            entry["messages"].append(element.message())
            _trim(entry)
            return accumulator
        if isinstance(element, str):
            _add(accumulator["foreign"], element, 1)
            return accumulator
        split, labels, words = element
        _add(accumulator["rows"], split, 1)
        for label in labels:
            _add(accumulator["rows_by_class"].setdefault(split, {}), label, 1)
        if words is not None:
            _add(accumulator["words"], words, 1)
        return accumulator

    def merge_accumulators(self, accumulators):
        """Adds up counts of several workers."""
        merged = self.create_accumulator()
        for one in accumulators:
            for split, number in one["rows"].items():
                _add(merged["rows"], split, number)
            for split, by_class in one["rows_by_class"].items():
                for label, number in by_class.items():
                    _add(merged["rows_by_class"].setdefault(split, {}), label, number)
            for words, number in one["words"].items():
                _add(merged["words"], words, number)
            for encoding, number in one["foreign"].items():
                _add(merged["foreign"], encoding, number)
            for reason, entry in one["skipped"].items():
                kept = merged["skipped"].setdefault(reason, {"count": 0, "ids": [], "messages": []})
                kept["count"] += entry["count"]
                kept["ids"].extend(entry["ids"])
                kept["messages"].extend(entry["messages"])
                _trim(kept)
        return merged

    def extract_output(self, accumulator):
        """Returns the counts."""
        return accumulator


def make_example(row: Row, features: dict[str, bytes | list[bytes] | np.ndarray]) -> tf.train.Example:
    """Makes the raw example that the whole pipeline starts from.

    Args:
        row: Row.
        features: dict. From `Source.features`.

    Returns:
        tf.train.Example with the bytes features `id` (1) and `labels` (1 or more), `text_donor` (1) where the text is
        another row's, and `features`: bytes as one value, a list of bytes as so many, an array as a list of floats in
        C order.

    Raises:
        ValueError: when an array holds numbers that are not finite.
    """
    feature = {
        "id": _bytes_feature([row.id.encode("utf-8")]),
        "labels": _bytes_feature([label.encode("utf-8") for label in row.labels]),
    }
    if row.text_donor:
        feature["text_donor"] = _bytes_feature([row.text_donor.encode("utf-8")])
    for name, value in features.items():
        if isinstance(value, np.ndarray):
            if not np.isfinite(value).all():
                raise ValueError(f"{name!r} of the row {row.id!r} holds numbers that are not finite.")
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=value.ravel()))
        else:
            feature[name] = _bytes_feature([value] if isinstance(value, bytes) else value)
    return tf.train.Example(features=tf.train.Features(feature=feature))


class _ReadPictures(beam.DoFn):
    """Sends each row to its split as a serialized example, or to `skipped`; what its picture was, to `foreign`."""

    def __init__(self, source):
        self._source = source

    def process(self, element):
        row = Row(**element)
        try:
            features = self._source.features(row)
        except SkipRowError as error:
            yield beam.pvalue.TaggedOutput("skipped", Skip(error.reason, row.id, error.detail, row.place))
            return
        for value in features.values():
            if isinstance(value, StoredPicture) and value.foreign:
                yield beam.pvalue.TaggedOutput("foreign", value.foreign)
        yield beam.pvalue.TaggedOutput(row.split, make_example(row, features).SerializeToString(deterministic=True))


def seen_in(serialized, split):
    """Returns `(split, labels, words)` of an example, for `IngestCounts`; no words where there is no text.

    No pictures: what several steps write into one collection, a runner on one machine keeps in memory until it is all
    there.
    """
    feature = tf.train.Example.FromString(serialized).features.feature
    labels = [label.decode("utf-8") for label in feature["labels"].bytes_list.value]
    words = len(words_of_text(feature["text"].bytes_list.value[0].decode("utf-8"))) if "text" in feature else None
    return split, labels, words


def _bytes_feature(values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def rows_as_elements(rows) -> list:
    """Turns rows to plain dictionaries, which every Beam coder takes."""
    return [dataclasses.asdict(row) for row in rows]


def words_by_text(histogram) -> dict:
    """Sums up how many words the texts have.

    Args:
        histogram: dict from number of words to number of texts.

    Returns:
        dict with `count` (texts), `words` (all together), `median`, `95th` and `max` words a text.
    """
    ordered = sorted(collections.Counter(histogram).items())
    count = sum(number for _, number in ordered)

    def at(share):
        passed = 0
        for words, number in ordered:
            passed += number
            if passed >= share * count:
                return words
        return 0

    return {
        "count": count,
        "words": sum(words * number for words, number in ordered),
        "median": at(0.5),
        "95th": at(0.95),
        "max": ordered[-1][0] if ordered else 0,
    }


def _add(counts, key, number):
    counts[key] = counts.get(key, 0) + number


def _trim(entry):
    """Keeps the first ids in alphabetical order, so that the report does not depend on who came first."""
    order = sorted(range(len(entry["ids"])), key=lambda index: entry["ids"][index])[:KEPT_IDS]
    entry["ids"] = [entry["ids"][index] for index in order]
    entry["messages"] = [entry["messages"][index] for index in order]
