"""`hfmnas predict`, `evaluate` and `serve`: what is done with a model that is there."""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hfmnas_keras.estimator.table import Table
    from hfmnas_keras.export.served_model import ServedModel

_FORMATS = (".jsonl", ".csv")


def reads_rows(command: Any) -> Any:
    """Arguments and options of commands that let a model read rows."""
    for decorator in (
        click.argument("data"),
        click.argument("model"),
        click.option("--text", "text_column", help="Column of the texts. Default: the one that looks like it."),
        click.option("--image", "image_column", help="Column of the pictures. Default: the one that looks like it."),
        click.option("--folder", help="Folder of the pictures. Default: that of DATA."),
    ):
        command = decorator(command)
    return command


@click.command
@reads_rows
@click.option("-o", "--output", required=True, help="File to write: .jsonl or .csv.")
def predict(
    model: str, data: str, text_column: str | None, image_column: str | None, folder: str | None, output: str
) -> None:
    """Writes what MODEL says of each row of DATA.

    MODEL is a run (runs/NAME), an exported model, or what FusionClassifier saved; DATA a .jsonl, .csv or .parquet file.
    A row that cannot be used is answered by its `error`, and the others as without it.

    Exit codes: 0, every row was answered; 1, some have an `error`; 2, something cannot be read or written.
    """
    from hfmnas_keras.atomic_file import atomic_file

    ending = pathlib.Path(output).suffix.lower()
    if ending not in _FORMATS:
        raise ValueError(f"The output must end in {' or '.join(_FORMATS)}. Received: {output!r}.")
    table, columns, served = opened(model, data, text_column, image_column, folder)
    rows = errors = 0
    with atomic_file(output) as file:
        for answer in _answers(table, columns, served):
            rows, errors = rows + 1, errors + bool(answer["error"])
            file.write((_csv_line(answer, rows == 1) if ending == ".csv" else json.dumps(answer) + "\n").encode())
    click.echo(f"{rows} rows, {errors} of them with an error, in {output}.")
    if errors:
        raise click.exceptions.Exit(1)


@click.command
@reads_rows
@click.option("--label", help="Column of the labels. Default: label or labels.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    model: str,
    data: str,
    text_column: str | None,
    image_column: str | None,
    folder: str | None,
    label: str | None,
    as_json: bool,
) -> None:
    """Scores MODEL on the labelled rows of DATA; both as of `predict`.

    Rows that cannot be used count as wrong. Exit codes: 0; 2, something cannot be read.
    """
    from hfmnas_keras.estimator.labels import read_labels
    from hfmnas_keras.estimator.scores import scores_of

    table, columns, served = opened(model, data, text_column, image_column, folder, label)
    labels = read_labels(table, label)
    answers = list(_answers(table, columns, served))
    given = [answer["labels"] if "labels" in answer else [answer["label"]] for answer in answers]
    classes = list(answers[0]["probabilities"])
    scores = scores_of(labels.rows, given, classes)
    errors = sum(bool(answer["error"]) for answer in answers)
    if as_json:
        click.echo(json.dumps({**scores, "errors": errors}, indent=1))
        return
    click.echo(f"macro F1 {scores['macro_f1']:.4f}, accuracy {scores['accuracy']:.4f}, {scores['rows']} rows")
    if errors:
        click.echo(f"{errors} rows cannot be used and count as wrong.")
    width = max(map(len, classes))
    for name, score in scores["f1"].items():
        click.echo(f"  {name:{width}}  {score:.4f}")


@click.command
@click.argument("model")
@click.option("--port", default=8501, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--name", default="model", show_default=True, help="Of the model, in the address.")
def serve(model: str, port: int, host: str, name: str) -> None:
    """Serves MODEL over HTTP as TensorFlow Serving's REST does, for trying; TensorFlow Serving is for production.

    POST /v1/models/NAME:predict takes {"signature_name": "serve_json", "inputs": {...}} or "instances", a list.
    """
    from hfmnas_keras.export.find_model import find_model
    from hfmnas_keras.export.rest_server import RestServer

    with RestServer(find_model(model), name, host, port) as server:
        click.echo(f"Serving {server.path} at {server.address}:predict. Stop it with Ctrl+C.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("Stopped.")


def opened(
    model: str,
    data: str,
    text_column: str | None,
    image_column: str | None,
    folder: str | None,
    label: str | None = None,
) -> tuple[Table, dict[str, str], ServedModel]:
    """The rows of a command, the columns that the model reads, and the model."""
    from hfmnas_keras.estimator.record import RECORD_FILE, read_record
    from hfmnas_keras.estimator.table import find_columns, read_table
    from hfmnas_keras.export.find_model import find_model
    from hfmnas_keras.export.served_model import ServedModel

    # Before TensorFlow loads anything: a wrong name should be told at once.
    path = find_model(model)
    table = read_table(data, folder)
    given = {name: column for name, column in (("text", text_column), ("image", image_column)) if column}
    if os.path.exists(os.path.join(model, RECORD_FILE)):
        given = {**read_record(model)["columns"], **given}
    served = ServedModel(path)
    return table, find_columns(table, given, [label] if label else [], served.modalities), served


def _answers(table: Table, columns: dict[str, str], served: ServedModel) -> Iterator[dict[str, Any]]:
    """What the model says of each row, as JSON has it; rows are read as they are asked for."""
    from hfmnas_keras.export.served_model import ROWS_A_CALL, answers_by_row

    texts = table.texts(columns["text"]) if "text" in columns else []
    ids = table.columns.get("id", list(range(table.num_rows)))
    for start in range(0, table.num_rows, ROWS_A_CALL):
        rows = range(start, min(start + ROWS_A_CALL, table.num_rows))
        values: dict[str, Any] = {}
        told: dict[int, str] = {}
        if "text" in columns:
            values["text"] = [texts[row] for row in rows]
        if "image" in columns:
            values["image"] = [picture_or_fault(table, columns["image"], row, told) for row in rows]
        for row, answer in zip(rows, answers_by_row(served.answers_to(values)), strict=True):
            yield {"id": ids[row], **answer, "error": told.get(row) or answer["error"]}


def picture_or_fault(table: Table, column: str, row: int, told: dict[int, str]) -> bytes:
    """A row's picture; where it cannot be read, what no model answers to, and `told` says why."""
    try:
        return table.picture(column, row)
    except (ValueError, OSError) as error:
        told[row] = f"image: {error}"
        # Not empty, which is a row without a picture.
        return b"none"


def _csv_line(answer: dict[str, Any], is_first: bool) -> str:
    flat: dict[str, Any] = {
        "id": answer["id"],
        "label": answer["label"] if "label" in answer else "|".join(answer["labels"]),
        **{name: answer[name] for name in ("score", "conflict", "uncertainty", "abstain", "missing") if name in answer},
        "error": answer["error"],
        **{f"p_{name}": value for name, value in answer["probabilities"].items()},
    }
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    if is_first:
        writer.writerow(flat)
    writer.writerow(flat.values())
    return line.getvalue()
