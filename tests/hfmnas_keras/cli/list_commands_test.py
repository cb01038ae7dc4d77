import importlib.metadata

import pytest
from click.testing import CliRunner

import hfmnas_keras
from hfmnas_keras.cli import main
from hfmnas_keras.data.modalities import MODALITIES
from hfmnas_keras.settings.backbones import BACKBONE_SETTINGS, BACKBONES
from hfmnas_keras.settings.models import PLAIN_MODELS, SEARCHED_MODELS


@pytest.mark.parametrize(
    "command, names",
    [
        ("models", [*SEARCHED_MODELS, *PLAIN_MODELS]),
        ("backbones", [*BACKBONE_SETTINGS, *BACKBONES]),
        ("modalities", [*MODALITIES]),
    ],
)
def test_all_that_there_is_is_listed_with_a_description(command, names):
    result = CliRunner().invoke(main, [command])
    assert result.exit_code == 0
    listed = [line.split(maxsplit=1) for line in result.stdout.splitlines() if line.startswith("  ")]
    assert [name for name, _ in listed] == names
    assert all(description.strip() for _, description in listed)


def test_versions_for_a_report_of_a_fault():
    assert CliRunner().invoke(main, ["version"]).stdout == f"hfmnas {hfmnas_keras.__version__}\n"
    told = CliRunner().invoke(main, ["version", "--verbose"]).stdout
    assert f"  keras {importlib.metadata.version('keras')}\n" in told and "Python 3." in told
