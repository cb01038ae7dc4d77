"""Runs the pipeline on this machine, in this process.

For people: `python -m pipeline.local_runner --config my.yaml`. For the TFX command, which executes this file without
arguments: `tfx pipeline create --engine=local --pipeline_path=pipeline/local_runner.py`, with the configuration named
by the environment variable `HFMNAS_CONFIG` (default: the demo).

Exit codes: 0, the model was blessed and pushed; 1, a stage failed; 2, the configuration or the command line is wrong;
3, the run ended but the model was not blessed, so nothing was pushed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging as python_logging
import os
import pathlib
import sys
import time
import traceback
import warnings
from collections.abc import Iterator

import click

from pipeline.config import RunConfig
from pipeline.config_file import load_config

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
    quiet_imports()
    from absl import logging
    from tfx import v1 as tfx

    from components.execution import EXECUTION_VARIABLE, execution_json
    from pipeline.definition import create_pipeline
    from pipeline.run_summary import summarise_run

    config.root.mkdir(parents=True, exist_ok=True)
    with _sole_use_of(config.root), _quiet_logs(logging, config.root / "run.log") as handlers:
        try:
            pipeline = create_pipeline(
                config,
                pipeline_root=str(config.pipeline_root),
                schema_file=_kept_by_meaning(config.schema_file, config.root / "schemas"),
                checkpoint_root=str(config.checkpoint_root),
                push_destination=str(config.push_destination),
                metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                    str(config.metadata_path)
                ),
                last_stage=last_stage,
            )
        except ValueError as error:
            click.echo(str(error), err=True)
            return WRONG_USE
        stage_log = handlers(len(pipeline.components))
        os.environ[EXECUTION_VARIABLE] = execution_json(search=config.search, training=config.training)
        started = time.time()
        try:
            tfx.orchestration.LocalDagRunner().run(pipeline)
        except KeyboardInterrupt:
            click.echo(f"\nStopped in {stage_log.stage}. The same command continues from here.", err=True)
            return 130
        except Exception as error:
            logging.debug("%s", traceback.format_exc())
            (config.root / "error.log").write_text(traceback.format_exc(), encoding="utf-8")
            click.echo(f"\n{stage_log.stage} failed: {_root_cause(error)}", err=True)
            click.echo(f"The whole story: {config.root / 'error.log'} and {config.root / 'run.log'}", err=True)
            return FAILED
        summary = summarise_run(config.metadata_path, since=started)
        if summary is None:
            # The TFX command executes this file to see the pipeline, with a runner that does not run.
            return BLESSED
        click.echo(summary.to_text(config.name))
        return BLESSED if summary.is_pushed or last_stage is not None else NOT_BLESSED


def quiet_imports() -> None:
    """Keeps libraries from printing, when they are imported, what nobody who runs this can mend."""
    # Before TensorFlow is imported: its start-up prints errors where no GPU is. Real ones come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"google\.")


@contextlib.contextmanager
def _sole_use_of(root: pathlib.Path) -> Iterator[None]:
    """Keeps two runs from writing the same artifacts and metadata at once."""
    with open(root / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            click.echo(f"Another run is at work in {root}. Wait for it, or give this one another name.", err=True)
            sys.exit(FAILED)
        yield


@contextlib.contextmanager
def _quiet_logs(logging, file: pathlib.Path):
    """Sends every log line to `file` and, of them, the ones for a person to the terminal."""
    from pipeline.stage_log import StageLog

    logger, to_terminal = logging.get_absl_logger(), logging.get_absl_handler()
    before = logging.get_verbosity(), to_terminal.level, logger.propagate
    logging.set_verbosity(logging.INFO)
    # Deprecations inside TFMA, which nobody who runs this can mend.
    python_logging.getLogger("tensorflow").setLevel(python_logging.ERROR)
    to_terminal.setLevel(python_logging.CRITICAL)
    # Beam puts a handler of its own on the root logger.
    logger.propagate = False
    to_file = python_logging.FileHandler(file, mode="w", encoding="utf-8")
    to_file.setFormatter(python_logging.Formatter("%(asctime)s %(levelname)s %(filename)s:%(lineno)d %(message)s"))
    added: list[python_logging.Handler] = [to_file]
    logger.addHandler(to_file)

    def show_stages(num_stages: int) -> StageLog:
        stage_log = StageLog(click.echo, num_stages)
        added.append(stage_log)
        logger.addHandler(stage_log)
        return stage_log

    try:
        yield show_stages
    finally:
        for handler in added:
            logger.removeHandler(handler)
            handler.close()
        logging.set_verbosity(before[0])
        to_terminal.setLevel(before[1])
        logger.propagate = before[2]


def _kept_by_meaning(file: pathlib.Path, folder: pathlib.Path) -> str:
    """Copies a schema to a place named after what it says, comments aside: the cache looks at the name alone."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    content = file.read_bytes()
    try:
        said = text_format.Parse(content, schema_pb2.Schema()).SerializeToString(deterministic=True)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a schema as TensorFlow Metadata writes it: {error}") from error
    copy = folder / hashlib.sha256(said).hexdigest()[:16] / file.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(content)
    return str(copy)


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


if __name__ == "__main__":
    main()
