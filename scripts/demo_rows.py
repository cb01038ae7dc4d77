"""Writes the demo's rows as a manifest with pictures: `python -m scripts.demo_rows FOLDER`."""

import json
import pathlib
import sys

from components.multimodal_example_gen.sources.demo_source import DemoSource


def write_rows(folder: pathlib.Path) -> pathlib.Path:
    """Writes `rows.jsonl` and its pictures into a new folder; returns the manifest's path."""
    source = DemoSource(0)
    (folder / "pictures").mkdir(parents=True)
    lines = []
    for row in source.read().rows:
        name = f"pictures/{row.id}.png"
        (folder / name).write_bytes(source.image(row))
        line = {"id": row.id, "split": row.split, "text": row.text, "image": name, "label": row.labels[0]}
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    manifest = folder / "rows.jsonl"
    manifest.write_text("".join(lines), encoding="utf-8")
    return manifest


if __name__ == "__main__":
    print(write_rows(pathlib.Path(sys.argv[1])))
