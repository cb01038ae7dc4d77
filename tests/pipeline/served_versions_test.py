"""Versions below a push destination: which serve, going back, and what the server is told."""

import pytest
import tensorflow as tf
from click.testing import CliRunner
from google.protobuf import text_format

from components.pusher.executor import newest_version
from pipeline.served_versions import roll_back, served_versions, server_config
from pipeline.serving_command import serving


def _push(folder, *versions):
    for version in versions:
        for name in ("saved_model.pb", "variables/variables.index"):
            path = f"{folder}/{version}/{name}"
            tf.io.gfile.makedirs(path.rpartition("/")[0])
            with tf.io.gfile.GFile(path, "w") as file:
                file.write(f"{version} {name}")


@pytest.fixture(params=["local", "bucket"])
def folder(request, tmp_path):
    folder = str(tmp_path / "demo") if request.param == "local" else f"ram://{tmp_path.name}/demo"
    _push(folder, 9, 10, 11)
    return folder


def test_versions_are_numbers_in_their_order(folder):
    _push(folder, ".unfinished-12", "model_cards")
    assert served_versions(folder) == [9, 10, 11]


def test_going_back_lets_the_version_before_serve_and_keeps_the_files(folder):
    assert roll_back(folder) == ([11], 10)
    assert newest_version(folder) == 10
    with tf.io.gfile.GFile(f"{folder}/withdrawn-11/variables/variables.index") as file:
        assert file.read() == "11 variables/variables.index"
    assert roll_back(folder, to=9) == ([10], 9)
    assert served_versions(folder) == [9]


def test_where_nothing_is_to_go_back_to_it_is_said(folder):
    with pytest.raises(ValueError, match=r"no version 8. Its versions: \[9, 10, 11\]"):
        roll_back(folder, to=8)
    roll_back(folder, to=9)
    with pytest.raises(ValueError, match="none to go back to"):
        roll_back(folder)
    with pytest.raises(ValueError, match="There is no folder"):
        served_versions(f"{folder}-other")


def test_the_configuration_is_what_the_server_reads():
    pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    parsed = text_format.Parse(server_config("demo", "/models/demo", [9, 10, 11], canary=True), pb2.ModelServerConfig())
    (config,) = parsed.model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == ("demo", "/models/demo", "tensorflow")
    assert list(config.model_version_policy.specific.versions) == [10, 11]
    assert dict(config.version_labels) == {"stable": 10, "canary": 11}
    parsed = text_format.Parse(server_config("demo", "/models/demo", [9, 10]), pb2.ModelServerConfig())
    assert dict(parsed.model_config_list.config[0].version_labels) == {"stable": 10}
    with pytest.raises(ValueError, match="2 versions are needed"):
        server_config("demo", "/models/demo", [9], canary=True)


def test_the_commands(folder):
    runner = CliRunner()
    assert runner.invoke(serving, ["list", folder]).output == "9\n10\n11\n"
    arguments = ["config", folder, "--name", "demo", "--base-path", "/models/demo", "--canary"]
    shown = runner.invoke(serving, arguments).output
    assert shown == server_config("demo", "/models/demo", [10, 11], canary=True)
    assert runner.invoke(serving, ["rollback", folder]).output == "Withdrawn: 11. Version 10 serves.\n"
