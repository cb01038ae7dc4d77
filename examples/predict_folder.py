"""Labels the rows of a manifest with a pushed model, with TensorFlow alone.

`python examples/predict_folder.py runs/demo/serving/demo data.jsonl` takes the newest version in the folder and prints
one JSON object a row: id, label, score, conflict, abstain.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def newest_version(folder: pathlib.Path) -> pathlib.Path:
    """The version of the largest number below a folder that `Pusher` writes."""
    versions = [path for path in folder.iterdir() if path.name.isdigit()]
    if not versions:
        raise SystemExit(f"{folder} holds no numbered version of a model.")
    return max(versions, key=lambda path: int(path.name))


def predictions(model_folder: pathlib.Path, manifest: pathlib.Path, batch_size: int = 16) -> Iterator[dict[str, Any]]:
    """Yields an answer for each row of a JSONL manifest, some rows at a time."""
    serve = tf.saved_model.load(str(model_folder)).signatures["serve_json"]
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        pictures = [(manifest.parent / row["image"]).read_bytes() for row in batch]
        outputs = serve(text=tf.constant([row["text"] for row in batch]), image_bytes=tf.constant(pictures))
        for number, row in enumerate(batch):
            answer = {name: outputs[name][number].numpy() for name in ("label", "score", "conflict", "abstain")}
            yield {
                "id": row["id"],
                "label": answer["label"].decode("utf-8"),
                "score": round(float(answer["score"]), 4),
                "conflict": round(float(answer["conflict"]), 4),
                "abstain": bool(answer["abstain"]),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("serving_folder", type=pathlib.Path)
    parser.add_argument("manifest", type=pathlib.Path)
    arguments = parser.parse_args()
    for row in predictions(newest_version(arguments.serving_folder), arguments.manifest):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
