"""Makes small manifests with pictures, and runs the ingest on them."""

import csv
import json
import pathlib

import apache_beam as beam
import numpy as np
import tensorflow as tf
from PIL import Image

from components.multimodal_example_gen.executor import ingest

COLOURS = {"cat": (200, 30, 30), "dog": (30, 30, 200)}


def rows(number=12):
    """Rows of two classes, two thirds train, the rest dev and test; pictures `images/<id>.png`."""
    return [
        {
            "id": f"row-{index}",
            "split": ("train", "train", "train", "train", "dev", "test")[index % 6],
            "text": f"a small {name} number {index}",
            "image": f"images/row-{index}.png",
            "label": name,
        }
        for index in range(number)
        for name in [tuple(COLOURS)[index // 6 % 2]]
    ]


def write_jsonl(folder, records, name="manifest.jsonl"):
    """Writes records as JSON lines; text and bytes go in as they are."""
    lines = [
        record if isinstance(record, bytes) else (record if isinstance(record, str) else json.dumps(record)).encode()
        for record in records
    ]
    path = pathlib.Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return str(path)


def write_csv(folder, records, name="manifest.csv", encoding="utf-8"):
    """Writes records as CSV with the columns of the first one."""
    path = pathlib.Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return str(path)


def save_pictures(folder, records):
    """Saves the pictures that records name: the class's colour with some noise."""
    for index, record in enumerate(records):
        path = pathlib.Path(folder) / record["image"]
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 30, (10, 8, 3))
        colour = COLOURS[record.get("label") or record["labels"][0]]
        Image.fromarray((noise + np.array(colour)).astype(np.uint8)).save(path)


def run_ingest(source, folder):
    """Runs the ingest by Beam's own runner; returns `(report, examples by split)`."""
    report = ingest(source, str(folder), beam.Pipeline)
    return report, read_examples(folder)


def read_examples(folder):
    """Reads the examples of an artifact's folder, by split, in order of their ids."""
    by_split = {}
    for split in ("train", "dev", "test"):
        files = sorted(str(path) for path in (pathlib.Path(folder) / f"Split-{split}").glob("*.gz"))
        examples = [
            tf.train.Example.FromString(record.numpy())
            for record in tf.data.TFRecordDataset(files, compression_type="GZIP")
        ]
        by_split[split] = sorted(examples, key=lambda example: value_of(example, "id"))
    return by_split


def value_of(example, name):
    """The only value of a bytes feature."""
    (value,) = example.features.feature[name].bytes_list.value
    return value
