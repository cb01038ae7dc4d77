"""Writes a configuration that fits a manifest: `python -m pipeline.manifest_config DATA.jsonl -o my.yaml`."""

from __future__ import annotations

import os
import pathlib
import re
import sys
from typing import Any

import click
import yaml

from pipeline.config import PRESETS_FOLDER, load_config


@click.command(help="Looks at a manifest and writes a configuration for it, classes filled in.")
@click.argument("manifest")
@click.option("-o", "--output", default="my.yaml", show_default=True, help="YAML file to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def main(manifest: str, output: str, force: bool) -> None:
    """Writes the configuration and says what comes next."""
    # Before TensorFlow is imported: its start-up prints errors where no GPU is.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        description = write_manifest_config(manifest, output, force)
    except (ValueError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    kind = "multi-label" if description["multi_label"] else "single-label"
    click.echo(f"{description['rows']} rows, {len(description['classes'])} classes, {kind}.")
    if description["skipped"]:
        click.echo(f"Rows that cannot be used: {description['skipped']}. Put them right, or set `strict: false`.")
    click.echo(f"Wrote {output}. Next: python -m pipeline.local_runner --config {output}")


def write_manifest_config(manifest: str, output: str, force: bool = False) -> dict[str, Any]:
    """Writes the preset `manifest` with what a look at a manifest tells.

    Args:
        manifest: str. JSONL or CSV file.
        output: str. YAML file to write.
        force: bool. Whether an existing file is overwritten. Defaults to `False`.

    Returns:
        dict, the description of the manifest.

    Raises:
        ValueError: when the manifest cannot be used, or `output` exists.
        FileNotFoundError: when there is no manifest.
    """
    # Here and not above: the components import TFX, which takes long for `--help`.
    from components.multimodal_example_gen.sources.manifest_source import describe_manifest

    file = pathlib.Path(output)
    if file.exists() and not force:
        raise ValueError(f"{output} exists. Name another file with -o, or add --force.")
    description = describe_manifest(manifest)
    if len(description["classes"]) < 2:
        raise ValueError(f"{manifest} has the classes {description['classes']}; at least two are needed.")
    content = yaml.safe_load((PRESETS_FOLDER / "manifest.yaml").read_text(encoding="utf-8"))
    content["name"] = re.sub(r"[^a-z0-9_-]+", "-", pathlib.Path(manifest).stem.lower()).strip("-_") or "manifest"
    # Absolute, so that the configuration may lie anywhere.
    content["data"]["manifest"] = str(pathlib.Path(manifest).resolve())
    content["preparation"]["classes"] = description["classes"]
    content["preparation"]["multi_label"] = description["multi_label"]
    # As long as nearly all texts, within what a Bi-LSTM reads in reasonable time.
    content["preparation"]["max_tokens"] = max(8, min(256, description["words"]["95th"]))
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    file.write_text(f"# Made from {pathlib.Path(manifest).name}. Keys: pipeline/config.py.\n{text}", encoding="utf-8")
    load_config(file)
    return description


if __name__ == "__main__":
    main()
