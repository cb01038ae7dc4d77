"""The Beam part of ingest: rows to files of tf.train.Example, and what was seen to counts."""

import collections
import os

import apache_beam as beam
import numpy as np
import tensorflow as tf
from tfx.dsl.io import fileio

from components.multimodal_example_gen.readers.picture import StoredPicture
from components.multimodal_example_gen.row import Row, Skip, SkipRowError
from components.multimodal_example_gen.shards import read_again, write_note
from components.words import words_of_text
from hfmnas_keras.data.modalities import MAX_TEXT_BYTES

#: So many ids of skipped rows are kept for each reason.
KEPT_IDS = 20


class WriteShards(beam.PTransform):
    """Writes the examples of parts of the data, each into a file of its own.

    Args:
        source: Source. Reads the pictures; it travels to the workers.
        folder: str. The artifact's folder.

    Returns:
        dict with two collections: of what was seen in each part, for `IngestCounts`, under `"counts"`, and of the ids
        of rows that were left out under `"left_out"`.
    """

    def __init__(self, source, folder):
        super().__init__()
        self._write = _WriteShard(source, folder)

    def expand(self, shards):
        """Applies the transform to a collection of what `put_aside` returns."""
        return (
            shards
            | "SpreadOverWorkers" >> beam.Reshuffle()
            | "Write" >> beam.ParDo(self._write).with_outputs("left_out", main="counts")
        )


class IngestCounts(beam.CombineFn):
    """Adds up what was seen in parts of the data; gives a dictionary, see `ingest.json` in `component.py`."""

    def create_accumulator(self):
        """Returns empty counts."""
        return no_counts()

    def add_input(self, accumulator, element):
        """Adds what was seen in one part."""
        return added_up([accumulator, element])

    def merge_accumulators(self, accumulators):
        """Adds up counts of several workers."""
        return added_up(accumulators)

    def extract_output(self, accumulator):
        """Returns the counts."""
        return accumulator


def no_counts() -> dict:
    """Counts of nothing: rows by split and class, words by text, skipped rows by reason, pictures by encoding.

    Keys are strings, as in JSON, from which a part's counts may come.
    """
    return {"rows": {}, "rows_by_class": {}, "words": {}, "skipped": {}, "foreign": {}}


def count_row(counts: dict, row: Row, features: dict) -> None:
    """Counts a row and the encoding of its pictures, where a request could not have it."""
    _add(counts["rows"], row.split, 1)
    for label in row.labels:
        _add(counts["rows_by_class"].setdefault(row.split, {}), label, 1)
    if "text" in features:
        _add(counts["words"], str(len(words_of_text(row.text))), 1)
    for value in features.values():
        if isinstance(value, StoredPicture) and value.foreign:
            _add(counts["foreign"], value.foreign, 1)


def count_skip(counts: dict, skip: Skip) -> None:
    """Counts a row that is left out."""
    entry = counts["skipped"].setdefault(skip.reason, {"count": 0, "ids": [], "messages": []})
    entry["count"] += 1
    entry["ids"].append(skip.id)
    entry["messages"].append(skip.message())
    _trim(entry)


def added_up(several) -> dict:
    """Returns the sum of counts."""
    merged = no_counts()
    for one in several:
        for kind in ("rows", "words", "foreign"):
            for name, number in one[kind].items():
                _add(merged[kind], name, number)
        for split, by_class in one["rows_by_class"].items():
            for label, number in by_class.items():
                _add(merged["rows_by_class"].setdefault(split, {}), label, number)
        for reason, entry in one["skipped"].items():
            kept = merged["skipped"].setdefault(reason, {"count": 0, "ids": [], "messages": []})
            kept["count"] += entry["count"]
            kept["ids"].extend(entry["ids"])
            kept["messages"].extend(entry["messages"])
            _trim(kept)
    return merged


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


class _WriteShard(beam.DoFn):
    """Writes one part's examples, then its note; gives what was seen."""

    def __init__(self, source, folder):
        self._source = source
        self._folder = folder

    def process(self, element):
        shard = read_again(element)
        path = os.path.join(self._folder, shard.file)
        fileio.makedirs(os.path.dirname(path))
        counts = no_counts()
        with tf.io.TFRecordWriter(path, _NOT_COMPRESSED) as file:
            for row in shard.rows:
                try:
                    features = self._source.features(row)
                    if len(features.get("text", b"")) > MAX_TEXT_BYTES:
                        told = f"the text has more than {MAX_TEXT_BYTES} bytes, the most that a request may have"
                        raise SkipRowError("text_too_large", told)
                except SkipRowError as error:
                    count_skip(counts, Skip(error.reason, row.id, error.detail, row.place))
                    yield beam.pvalue.TaggedOutput("left_out", row.id)
                    continue
                file.write(make_example(row, features).SerializeToString(deterministic=True))
                count_row(counts, row, features)
        # A row that was left out is to be read again, and told of with its place.
        write_note(shard, counts, self._folder, is_reusable=not counts["skipped"])
        yield counts


# The file is gzip, which TFX expects, but pictures and clips are compressed already: to try again is half of the
# ingest's time for one per cent of the bytes.
_NOT_COMPRESSED = tf.io.TFRecordOptions("GZIP", compression_level=0)


def _bytes_feature(values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


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
