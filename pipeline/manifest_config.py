"""Writes a configuration that fits a manifest: `python -m pipeline.manifest_config DATA.jsonl -o my.yaml`."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import yaml

from pipeline.config_file import load_config
from pipeline.config_parts import expanded
from pipeline.local_runner import quiet_imports
from pipeline.manifest_rules import Choice, chosen, encoders_are_here

if TYPE_CHECKING:
    from pipeline.manifest_look import ManifestLook

# Shown of each split.
_MOST_CLASSES = 25


@click.command(help="Looks at a manifest and writes a configuration for it, every value with its reason.")
@click.argument("manifest")
@click.option("-o", "--output", default="my.yaml", show_default=True, help="YAML file to write.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    help="What the manifest calls a column, such as text=description. May be given several times.",
)
@click.option(
    "--like", metavar="CLASSIFIER", help="What FusionClassifier saved: its settings and its genotype are taken."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def main(manifest: str, output: str, columns: tuple[str, ...], like: str | None, force: bool) -> None:
    """Writes the configuration and says what was seen and what comes next."""
    quiet_imports()
    click.echo("Counting rows and words, opening pictures, fitting linear models: a minute or two.")
    try:
        look = write_manifest_config(expanded(manifest), output, force, _columns(columns), like and expanded(like))
    except (ValueError, OSError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    for line in told(look):
        click.echo(line)
    click.echo(f"Wrote {output}. Next: python -m pipeline.local_runner --config {output}")


def write_manifest_config(
    manifest: str,
    output: str,
    force: bool = False,
    columns: Mapping[str, str] | None = None,
    like: str | None = None,
) -> ManifestLook:
    """Writes a configuration with values that follow from a look at a manifest (docs/configuration.md).

    Args:
        manifest: str. JSONL or CSV file.
        output: str. YAML file to write.
        force: bool. Whether an existing file is overwritten. Defaults to `False`.
        columns: what the manifest calls its columns, such as `{"text": "description"}`. Defaults to `None`: as they are
            named here, or as the classifier's data name them.
        like: optional folder of a fitted `FusionClassifier`, whose settings and genotype are taken
            (`pipeline.classifier_settings`). Defaults to `None`.

    Returns:
        `ManifestLook`.

    Raises:
        ValueError: when the manifest cannot be used, or `output` exists.
        FileNotFoundError: when there is no manifest.
    """
    # Here and not above: the components import TFX, which takes long for `--help`.
    from pipeline.classifier_settings import classifier_columns, like_classifier
    from pipeline.manifest_look import look_at_manifest

    file = pathlib.Path(output)
    if file.exists() and not force:
        raise ValueError(f"{output} exists. Name another file with -o, or add --force.")
    if like is not None:
        columns = columns or classifier_columns(like)
    look = look_at_manifest(manifest, columns)
    choices = chosen(manifest, look, encoders_are_here())
    if like is not None:
        choices = like_classifier(choices, like)
    if columns:
        choices.insert(1 + [choice.key for choice in choices].index("data.manifest"), Choice("data.columns", columns))
    file.write_text(to_yaml(manifest, choices), encoding="utf-8")
    load_config(file)
    return look


def to_yaml(manifest: str, choices: list[Choice]) -> str:
    """Returns a configuration file, each value with its comment."""
    lines = [
        f"# Made from {pathlib.Path(manifest).name} by python -m pipeline.manifest_config. Rules and keys:",
        "# docs/configuration.md.",
    ]
    open_parts: list[str] = []
    for choice in choices:
        *parts, last = choice.key.split(".")
        for depth, part in enumerate(parts):
            if open_parts[: depth + 1] != parts[: depth + 1]:
                lines.extend([*([""] if not depth else []), f"{'  ' * depth}{part}:"])
                open_parts = parts[: depth + 1]
        if len(parts) < len(open_parts):
            open_parts = parts
        value = yaml.safe_dump(
            choice.value, default_flow_style=not _is_list_of_names(choice.value), allow_unicode=True, width=10_000
        )
        value = value.removesuffix("...\n").rstrip("\n")
        indent = "  " * len(parts)
        if _is_list_of_names(choice.value):
            value = "".join(f"\n{indent}  {line}" for line in value.splitlines())
            lines.append(f"{indent}{last}:{value}")
        else:
            lines.append(f"{indent}{last}: {value}{f' # {choice.why}' if choice.why else ''}")
    return "\n".join(lines) + "\n"


def told(look: ManifestLook) -> list[str]:
    """Returns what a person should know of the data, as lines for a terminal."""
    kind = f"multi-label, {look.labels_a_row:.2f} labels a row" if look.multi_label else "single-label"
    rows = ", ".join(f"{split} {count}" for split, count in look.rows.items())
    rarest = min(look.rows_by_class["train"], key=lambda name: look.rows_by_class["train"][name])
    words = look.words_a_text
    lines = [
        f"{sum(look.rows.values())} rows ({rows}), {len(look.classes)} classes, {kind}.",
        *_table(look),
        f"The rarest class, {rarest!r}, has {look.rows_by_class['train'][rarest]} train rows; the most frequent one "
        f"{look.imbalance:.0f} times as many as the rarest with any.",
        f"Texts have {words['median']} words in the median, {words['max']} at most; train has {look.vocabulary[1]} "
        f"different words, {look.vocabulary[2]} of them twice or more.",
    ]
    if look.covered:
        lines.append(
            f"Of the words of dev, {look.covered[1]['dev']:.0%} occur in train; of those of test, "
            f"{look.covered[1]['test']:.0%}. Others say nothing to a text backbone that is trained on these data."
        )
    if look.picture_size is not None:
        height, width = look.picture_size
        lines.append(f"Pictures are {height} x {width} in the median of {look.opened}.")
    scores = ", ".join(f"{name} {score:.3f}" for name, score in look.dev_macro_f1.items())
    lines.append(f"Macro F1 of linear models on dev: {scores}. The gate starts from them.")
    return [*lines, *(f"Note: {problem}" for problem in look.problems())]


def _table(look: ManifestLook) -> list[str]:
    """Rows by class and split, the most frequent classes first."""
    by_class = look.rows_by_class
    names = sorted(look.classes, key=lambda name: -by_class["train"][name])
    width = max(len(name) for name in [*names[:_MOST_CLASSES], "class"])
    lines = [f"  {'class':<{width}}" + "".join(f"{split:>8}" for split in by_class)]
    lines += [
        f"  {name:<{width}}" + "".join(f"{of_split[name]:>8}" for of_split in by_class.values())
        for name in names[:_MOST_CLASSES]
    ]
    return lines if len(names) <= _MOST_CLASSES else [*lines, f"  and {len(names) - _MOST_CLASSES} rarer classes"]


def _columns(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given]
    if wrong := [pair for pair in pairs if not pair[0] or not pair[2]]:
        raise ValueError(f"`--column` must be OURS=THEIRS, such as text=description. Received: {''.join(wrong[0])!r}.")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


if __name__ == "__main__":
    main()
