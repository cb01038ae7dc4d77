import dataclasses
import json
import pathlib

import pydantic
import pytest
import yaml

from hfmnas_keras.settings.backbones import BACKBONE_SETTINGS, BACKBONES
from pipeline.config_file import PRESETS_FOLDER
from pipeline.config_schema import OWN_KINDS, config_schema, field_descriptions
from pipeline.data_config import SOURCE_DATA
from scripts.configuration_reference import ROOT, reference_files

PRESETS = sorted(pathlib.Path(PRESETS_FOLDER).glob("*.yaml"))


def test_the_reference_and_the_schema_are_those_of_the_settings():
    old = [
        name
        for name, text in reference_files().items()
        if not (ROOT / name).exists() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    assert not old, (
        f"A setting has changed and {' and '.join(old)} tell of before. Write them anew: "
        "`.venv/bin/python -m scripts.configuration_reference` (`make reference`)."
    )


def test_every_setting_is_described():
    schema = config_schema()
    unsaid = [
        f"{part}.{name}"
        for part, definition in [("RunConfig", schema), *schema["$defs"].items()]
        for name, field in definition["properties"].items()
        if len(field.get("description", "")) < 6
    ]
    assert not unsaid, (
        f"No docstring describes {unsaid}. Say it under `Args:` of the class, or in a string below the field, and run "
        "`make reference`."
    )


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_fits_the_schema(path):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), config_schema())


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"search": {"epoch": 3}}, "epoch"),
        ({"data": {"source": "harm", "subset": "D"}}, "'D'"),
        ({"data": {"source": "manifest", "manifest": "x.jsonl", "plot": "first"}}, "plot"),
        ({"backbones": {"text": {"kind": "encoder", "encoder": "minilm", "pieces": 5}}}, "pieces"),
        ({"backbones": {"text": {"depth": 16}}}, "depth"),
        ({"gate": {}}, "min_f1_m"),
    ],
)
def test_what_a_run_would_refuse_does_not_fit_the_schema(changes, words):
    jsonschema = pytest.importorskip("jsonschema")
    content = yaml.safe_load((PRESETS_FOLDER / "demo.yaml").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError, match=words):
        jsonschema.validate(content | changes, config_schema())


def test_names_of_other_packages_pass():
    jsonschema = pytest.importorskip("jsonschema")
    content = yaml.safe_load((PRESETS_FOLDER / "demo.yaml").read_text(encoding="utf-8"))
    content |= {"data": {"source": "theirs", "any": 1}, "backbones": {"text": {"kind": "theirs", "any": 1}}}
    jsonschema.validate(content, config_schema())


def test_every_source_and_backbone_is_in_the_schema():
    definitions = config_schema()["$defs"]
    kinds = [BACKBONES[kind].settings for kind in OWN_KINDS]
    for cls in [*SOURCE_DATA.values(), *BACKBONE_SETTINGS.values(), *kinds]:
        assert cls.__name__ in definitions
    assert "encoder" in OWN_KINDS


def test_what_changes_no_result_is_marked():
    marked = {
        name
        for name, field in config_schema()["$defs"]["SearchSettings"]["properties"].items()
        if "x-execution" in field
    }
    assert marked == {"checkpoint_seconds", "device_bytes", "devices"}


def test_descriptions_are_read_from_both_places():
    @dataclasses.dataclass
    class Both:
        """Some settings.

        Args:
            first, second: ints. Two
                lines.

        Raises:
            third: not a field's.
        """

        first: int = 0
        second: int = 0
        third: int = 0
        """Below
        the field."""

    class Inherits(pydantic.BaseModel):
        """Args:
        none: nobody.
        """

        fourth: int = 0

    assert field_descriptions(Both) == {
        "first": "ints. Two lines.",
        "second": "ints. Two lines.",
        "third": "Below the field.",
    }
    assert field_descriptions(Inherits) == {}


def test_the_schema_is_json():
    assert json.loads(json.dumps(config_schema()))["$defs"]
