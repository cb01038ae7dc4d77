"""Runs the pipeline on this machine, in this process.

For people: `python -m pipeline.local_runner --config my.yaml`. For the TFX command, which executes this file without
arguments: `tfx pipeline create --engine=local --pipeline_path=pipeline/local_runner.py`, with the configuration named
by the environment variable `HFMNAS_CONFIG` (default: the demo).

Exit codes: 0, the model was blessed and pushed; 1, a stage failed; 2, the configuration or the command line is wrong;
3, the run ended but the model was not blessed, so nothing was pushed.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging as python_logging
import os
import pathlib
import sys
import traceback
import warnings
from typing import TYPE_CHECKING

import click

from pipeline.config import RunConfig
from pipeline.config_file import load_config
from pipeline.failure import damaged_artifact, explain
from pipeline.run_folder import (
    END_OF_LOG,
    LOG_FILE,
    check_metadata,
    keep_configuration,
    keep_killed_log,
    notes_on_last_run,
    repair_moved_run,
    sole_use_of,
)

if TYPE_CHECKING:
    from pipeline.run_summary import RunSummary

BLESSED, FAILED, WRONG_USE, NOT_BLESSED = 0, 1, 2, 3


@click.command(help="Runs the HF-MNAS pipeline on this machine.")
@click.option("--config", "config_path", help="YAML file or preset of the run. Default: $HFMNAS_CONFIG, else the demo.")
def main(config_path: str | None = None) -> None:
    """Runs the pipeline that a configuration describes and exits with the code of its outcome."""
    try:
        config = load_config(config_path)
        _ = config.root
    except ValueError as error:
        click.echo(str(error), err=True)
        sys.exit(WRONG_USE)
    sys.exit(run(config))


def run(config: RunConfig, last_stage: str | None = None) -> int:
    """Runs the pipeline, shows its progress, and prints a summary.

    Args:
        config: `RunConfig`.
        last_stage: str or None. Id of the stage to end with. `None` (default): the whole pipeline.

    Returns:
        int. The exit code, see the module's documentation; of a run that ends earlier, 0 when its stages went well.
    """
    return run_and_summarise(config, last_stage)[0]


def run_and_summarise(config: RunConfig, last_stage: str | None = None) -> tuple[int, RunSummary | None]:
    """Does what `run` does, and returns the summary of this very run beside its exit code; `None` of one that failed.

    Args:
        config: `RunConfig`.
        last_stage: as of `run`.
    """
    try:
        with sole_use_of(config.root):
            check_metadata(config.root, config.metadata_path)
            if moved_from := repair_moved_run(config.root, config.metadata_path):
                click.echo(f"This run was in {moved_from}. Its metadata now point here, and it goes on from its cache.")
            if killed_log := keep_killed_log(config.root):
                click.echo(f"The last run here was killed. Its log: {killed_log}")
            for note in notes_on_last_run(config):
                click.echo(note)
            keep_configuration(config, config.root)
            return _run_in_its_folder(config, last_stage)
    except (RuntimeError, OSError) as error:
        click.echo(explain(error), err=True)
        return FAILED, None


def _run_in_its_folder(config: RunConfig, last_stage: str | None) -> tuple[int, RunSummary | None]:
    quiet_imports()
    from absl import logging
    from tfx.orchestration import metadata

    from components.execution import EXECUTION_VARIABLE, execution_json
    from hfmnas_keras.data.stored_files import check_address
    from pipeline.definition import create_pipeline
    from pipeline.identified_runner import IdentifiedRunner
    from pipeline.last_word import with_last_word
    from pipeline.run_summary import summarise_run

    error_log = config.root / "error.log"
    with _quiet_logs(logging, config.root / LOG_FILE) as handlers:
        try:
            for address in config.addresses():
                check_address(address)
            pipeline = create_pipeline(
                config,
                pipeline_root=config.pipeline_root,
                schema_file=_kept_by_meaning(config.schema_file, config.root / "schemas"),
                checkpoint_root=config.checkpoint_root,
                push_destination=config.push_destination,
                metadata_connection_config=metadata.sqlite_metadata_connection_config(str(config.metadata_path)),
                last_stage=last_stage,
            )
        except ValueError as error:
            click.echo(str(error), err=True)
            return WRONG_USE, None
        stage_log = handlers(len(pipeline.components))
        os.environ[EXECUTION_VARIABLE] = execution_json(search=config.search, training=config.training)
        runner = IdentifiedRunner(str(config.root))
        try:
            runner.run(pipeline)
            if runner.run_id is None:
                # The TFX command executes this file to see the pipeline, with a runner that does not run.
                return BLESSED, None
            summary = summarise_run(config.metadata_path, runner.run_id)
            if summary is None:
                raise RuntimeError(f"{config.metadata_path} has no run {runner.run_id!r}, which has just ended.")
            summary, said = with_last_word(summary, str(config.push_destination))
        except KeyboardInterrupt:
            click.echo(f"\nStopped in {stage_log.stage}. The same command continues from here.", err=True)
            return 130, None
        except Exception as error:
            told = explain(error)
            click.echo(f"\n{stage_log.stage} failed: {told}", err=True)
            if folder := damaged_artifact(told, str(config.pipeline_root)):
                click.echo(f"If that file is damaged: `rm -rf {folder}`; the same command makes it anew.", err=True)
            with contextlib.suppress(OSError):
                error_log.write_text(traceback.format_exc(), encoding="utf-8")
            click.echo(f"The whole story: {error_log} and {config.root / LOG_FILE}", err=True)
            return FAILED, None
        error_log.unlink(missing_ok=True)
        if said:
            click.echo(said)
        click.echo(summary.to_text(config.name))
        return (BLESSED if summary.is_pushed or last_stage is not None else NOT_BLESSED), summary


def quiet_imports() -> None:
    """Keeps libraries from printing, when they are imported, what nobody who runs this can mend."""
    # Before TensorFlow is imported: its start-up prints errors where no GPU is. Real ones come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"google\.")


@contextlib.contextmanager
def _quiet_logs(logging, file: pathlib.Path):
    """Sends every log line to `file` and, of them, the ones for a person to the terminal."""
    from pipeline.stage_log import StageLog

    logger, to_terminal = logging.get_absl_logger(), logging.get_absl_handler()
    root_logger = python_logging.getLogger()
    before = logging.get_verbosity(), to_terminal.level, logger.propagate, list(root_logger.handlers)
    logging.set_verbosity(logging.INFO)
    # Deprecations inside TFMA, which nobody who runs this can mend.
    python_logging.getLogger("tensorflow").setLevel(python_logging.ERROR)
    to_terminal.setLevel(python_logging.CRITICAL)
    logger.propagate = False
    to_file = python_logging.FileHandler(file, mode="w", encoding="utf-8")
    to_file.setFormatter(python_logging.Formatter("%(asctime)s %(levelname)s %(filename)s:%(lineno)d %(message)s"))
    # A full disk is told by the stage that needs it.
    to_file.handleError = lambda record: None  # type: ignore[method-assign]
    added: list[python_logging.Handler] = [to_file]
    logger.addHandler(to_file)
    # Beam logs a failure with its whole traceback, by the root logger.
    root_logger.handlers[:] = [to_file]

    def show_stages(num_stages: int) -> StageLog:
        stage_log = StageLog(click.echo, num_stages)
        added.append(stage_log)
        logger.addHandler(stage_log)
        return stage_log

    try:
        yield show_stages
    finally:
        to_file.handle(python_logging.makeLogRecord({"msg": END_OF_LOG, "levelname": "INFO"}))
        root_logger.handlers[:] = before[3]
        for handler in added:
            logger.removeHandler(handler)
            with contextlib.suppress(OSError):
                handler.close()
        logging.set_verbosity(before[0])
        to_terminal.setLevel(before[1])
        logger.propagate = before[2]


def _kept_by_meaning(file: str, folder: pathlib.Path) -> str:
    """Copies a schema to a place named after what it says, comments aside: the cache looks at the name alone."""
    import tensorflow as tf
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        with tf.io.gfile.GFile(file, "rb") as opened:
            content = opened.read()
    except tf.errors.NotFoundError as error:
        raise ValueError(f"There is no schema {file!r}.") from error
    try:
        said = text_format.Parse(content, schema_pb2.Schema()).SerializeToString(deterministic=True)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a schema as TensorFlow Metadata writes it: {error}") from error
    copy = folder / hashlib.sha256(said).hexdigest()[:16] / os.path.basename(file)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(content)
    return str(copy)


if __name__ == "__main__":
    main()
