"""`hfmnas audit`: rows to look at."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import click

from hfmnas_keras.cli.model_commands import opened, picture_or_fault, reads_rows

_SHOWN = 5


@click.command("audit")
@reads_rows
@click.option("--label", help="Column of the labels. Default: label or labels.")
@click.option("-o", "--output", required=True, help="File to write: .jsonl, the most doubtful row first.")
def audit_command(
    model: str,
    data: str,
    text_column: str | None,
    image_column: str | None,
    folder: str | None,
    label: str | None,
    output: str,
) -> None:
    """Ranks the labelled rows of DATA by doubt: wrong labels, and pairs that do not belong together.

    DATA must be new to MODEL, which has learned the faults of the rows it was trained on. Each line of the output has
    `label_doubt` and `suggested` (above 0 picture and text together say that rather than the label), `mismatch` (how
    far apart they are, 0 to 0.69), and the row's rank by each; the better rank decides the order.

    Exit codes: 0; 2, something cannot be read or written.
    """
    import numpy as np

    from hfmnas_keras.atomic_file import atomic_file
    from hfmnas_keras.estimator.labels import read_labels
    from hfmnas_keras.evidence.audit import audit, opinion_probabilities
    from hfmnas_keras.export.served_model import MODALITY_BELIEF, MODALITY_UNCERTAINTY

    if pathlib.Path(output).suffix.lower() != ".jsonl":
        raise ValueError(f"The output must end in .jsonl. Received: {output!r}.")
    table, columns, served = opened(model, data, text_column, image_column, folder, label)
    labels = read_labels(table, label)
    if len(columns) != 2:
        raise ValueError("An audit is by a model of a text and a picture.")
    texts = table.texts(columns["text"])
    told: dict[int, str] = {}
    answers = served.answers(
        table.num_rows,
        texts.__getitem__,
        lambda row: picture_or_fault(table, columns["image"], row, told),  # type: ignore[arg-type]
    )
    classes = [str(name) for name in answers["class_names"][0]]
    if unknown := sorted(set(labels.classes) - set(classes)):
        raise ValueError(f"There are labels that the model does not know: {', '.join(unknown[:5])}.")
    # One modality alone contradicts nothing.
    good = np.flatnonzero((answers["error"] == "") & (answers.get("missing", "") == ""))
    if not len(good):
        raise ValueError(f"No row can be used, the first: {told.get(0) or answers['error'][0]}")
    several = "labels" in answers
    if labels.multi_label and not several:
        raise ValueError("The model gives one label a row, and there are rows with several or none.")
    given = np.array([[name in labels.rows[row] for name in classes] for row in good])
    numbers = given.argmax(axis=1)
    found = audit(
        {
            modality: opinion_probabilities(
                answers[MODALITY_BELIEF.format(modality)][good], answers[MODALITY_UNCERTAINTY.format(modality)][good]
            )
            for modality in columns
        },
        given if several else numbers,
    )

    def told_label(place: int) -> tuple[str, str]:
        """What the row is labelled, and what is suggested."""
        suggested = classes[found.suggested[place]]
        if not several:
            return classes[numbers[place]], suggested
        without = given[place, found.suggested[place]]
        return "|".join(labels.rows[int(good[place])]), f"{'without' if without else 'with'} {suggested}"

    label_rank, pair_rank = _ranks(found.label_doubt), _ranks(found.mismatch)
    ids = table.columns.get("id", list(range(table.num_rows)))
    lines: list[dict[str, Any]] = []
    for place in np.lexsort((pair_rank, label_rank, np.minimum(label_rank, pair_rank))):
        row = int(good[place])
        lines.append(
            {
                "id": ids[row],
                **dict(zip(("label", "suggested"), told_label(place), strict=True)),
                "label_doubt": round(float(found.label_doubt[place]), 4),
                "label_rank": int(label_rank[place]),
                "mismatch": round(float(found.mismatch[place]), 4),
                "pair_rank": int(pair_rank[place]),
                "text": texts[row],
                "image": str(table.column(columns["image"])[row]),
            }
        )
    with atomic_file(output) as file:
        file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
    doubted = int((found.label_doubt > 0).sum())
    click.echo(f"{len(lines)} rows in {output}; of {doubted} picture and text together say another label.")
    if len(lines) < table.num_rows:
        click.echo(f"{table.num_rows - len(lines)} rows cannot be used.")
    for line in sorted(lines, key=lambda line: line["label_rank"])[:_SHOWN]:
        click.echo(
            f"  label {line['label'] or '(none)'}, rather {line['suggested']}: {line['text'][:60]} ({line['image']})"
        )
    for line in sorted(lines, key=lambda line: line["pair_rank"])[:_SHOWN]:
        click.echo(f"  pair: {line['text'][:60]} ({line['image']})")


def _ranks(scores: Any) -> Any:
    """Ranks from 1, the highest score first."""
    import numpy as np

    ranks = np.empty(len(scores), int)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks
