"""What a configuration may say, and what is said about a wrong one."""

from __future__ import annotations

import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pydantic
import pytest
import yaml

from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from components.multimodal_example_gen.sources.registry import SOURCES
from components.multimodal_example_gen.sources.source import Source, register_source
from hfmnas_keras import plugins
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.models import PLAIN_MODELS
from hfmnas_keras.settings.search import SearchSettings
from pipeline.config_file import PRESETS_FOLDER, load_config, with_overrides
from pipeline.data_config import SOURCE_DATA
from tests import source_files

MINIMAL = """
name: mine
data: {source: manifest, manifest: data/rows.jsonl}
preparation: {classes: [cat, dog]}
gate: {min_f1_m: 0.5}
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> pathlib.Path:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS_FOLDER.glob("*.yaml")))
def test_every_preset_is_valid(preset):
    assert load_config(preset).name == preset


def test_values_to_tune_begin_with_the_own_one_and_have_its_type(write):
    config = load_config(write(MINIMAL + "tuning: {choices: {fusion.dropout: [0, 0.1, 0.3], fusion.num_heads: [2]}}\n"))
    assert config.tuning_choices == {"fusion.dropout": [0.1, 0.0, 0.3], "fusion.num_heads": [4, 2]}
    assert all(type(value) is float for value in config.tuning_choices["fusion.dropout"])
    assert load_config(write(MINIMAL)).tuning_choices == {}


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ("{training.epochs: [3]}", "knows no 'training.epochs'.*training.learning_rate"),
        ("{fusion.num_heads: [5]}", "multiple of `fusion.num_heads`, 5"),
        ("{fusion.num_heads: [2.5]}", "whole numbers"),
        ("{final_model.channels: [.inf]}", "whole numbers"),
        ("{final_model.channels: [36], fusion.num_heads: [8]}", r"do not fit together, .*36.*8.*`fusion.num_heads`, 8"),
        ("{space.kept_nodes: [4]}", "at most `space.kept_nodes`, 3"),
        ("{training.learning_rate: [1.0e-9]}", "min_learning_rate"),
        ("{final_model.channels: [12]}", None),
        ("{fusion.dropout: [1.5]}", "dropout"),
        ("{fusion.dropout: []}", "at least 1 item"),
        ("{}", "at least 1 item"),
    ],
)
def test_values_that_no_trial_could_take_are_refused_when_the_file_is_read(write, choices, message):
    path = write(MINIMAL + f"tuning: {{choices: {choices}}}\n")
    if message is None:
        load_config(path)
        return
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load_config(path)


def test_cells_of_hf_mnas_are_not_tuned_in_other_models(write):
    with pytest.raises(ValueError, match="are for `model: hf_mnas`"):
        load_config(write(MINIMAL + "model: gmu\ntuning: {choices: {final_model.num_cells: [2]}}\n"))


def test_a_minimal_file_takes_the_defaults_of_the_method(write):
    config = load_config(write(MINIMAL))
    assert config.search == SearchSettings()
    assert config.gate.change_tolerance == 0.0 and config.gate.above_reference
    assert config.beam_args[0] == "--direct_running_mode=in_memory"


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS_FOLDER.glob("*.yaml")))
def test_no_gate_of_a_preset_is_empty(preset):
    config = load_config(preset)
    assert config.gate.above_reference
    classes = len(config.preparation.classes)
    # More than guessing; of several labels a row, with as many labels as MM-IMDB has, 2.48 a movie.
    guessing = 2.48 / classes if config.preparation.multi_label else 1 / classes
    assert config.gate.min_f1_m >= round(guessing - 0.005, 2)


def test_data_paths_are_relative_to_the_file_and_outputs_to_the_current_folder(write, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = write(MINIMAL + "backbones: {text: {word_vectors: vectors.txt}, image: {trunk_weights: vgg19.keras}}\n")
    monkeypatch.chdir(elsewhere)
    config = load_config(path)
    encoders = "backbones: {text: {kind: encoder, encoder: minilm}, image: {kind: encoder, encoder: mine}}"
    encoders = load_config(write(MINIMAL + encoders + "\n")).backbones
    # One of the published ones is found by its name.
    assert (encoders.text.encoder, encoders.image.encoder) == ("minilm", str(tmp_path / "mine"))
    given = "backbones: {text: {kind: keras, model: m.keras, tokenizer: t}, image: {kind: keras, model: 'm.n:f'}}"
    given = load_config(write(MINIMAL + given + "\n")).backbones
    assert (given.text.model, given.text.tokenizer) == (str(tmp_path / "m.keras"), str(tmp_path / "t"))
    assert given.image.model == "m.n:f"
    assert config.data.manifest == str(tmp_path / "data" / "rows.jsonl")
    assert config.backbones.text.word_vectors == str(tmp_path / "vectors.txt")
    assert config.backbones.image.trunk_weights == str(tmp_path / "vgg19.keras")
    assert config.root == elsewhere / "runs" / "mine"
    assert config.push_destination == str(elsewhere / "runs" / "mine" / "serving" / "mine")
    assert config.addresses() == []


def test_what_has_a_scheme_stays_as_it_is(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {
        "data": {"source": "manifest", "manifest": "gs://b/rows.jsonl", "schema_file": "gs://b/rows.pbtxt"},
        "backbones": {"text": {"word_vectors": "gs://b/v.txt"}, "image": {"trunk_weights": "gs://b/vgg19.keras"}},
        "paths": {"root": "gs://b/run"},
        "serving": {"push_destination": "gs://b/serving"},
    }
    config = load_config(write(yaml.safe_dump({**yaml.safe_load(MINIMAL), **given})))
    assert config.pipeline_root == "gs://b/run/artifacts"
    assert config.checkpoint_root == "gs://b/run/checkpoints"
    assert config.push_destination == "gs://b/serving"
    assert (config.data.manifest, config.schema_file) == ("gs://b/rows.jsonl", "gs://b/rows.pbtxt")
    assert config.backbones.text.word_vectors == "gs://b/v.txt"
    assert config.backbones.image.trunk_weights == "gs://b/vgg19.keras"
    assert set(config.addresses()) == {
        *("gs://b/run/artifacts", "gs://b/run/checkpoints", "gs://b/serving", "gs://b/rows.jsonl", "gs://b/rows.pbtxt"),
        *("gs://b/v.txt", "gs://b/vgg19.keras"),
    }
    # Logs and metadata are of this machine.
    assert config.root == tmp_path / "runs" / config.name
    assert not (tmp_path / "gs:").exists()


def test_the_root_of_the_data_sets_may_be_in_a_bucket(monkeypatch):
    monkeypatch.setenv("HFMNAS_DATA", "gs://b/sets")
    assert load_config("ntu").data.data_root == "gs://b/sets/ntu"


def test_the_readmes_server_gets_the_folder_whose_versions_the_demo_pushes():
    readme = (source_files.ROOT / "README.md").read_text(encoding="utf-8")
    # TensorFlow Serving looks for numbered folders right below /models/<MODEL_NAME>.
    (mounted,) = re.findall(r'MODEL_NAME=demo [^"]+"\$PWD/(\S+):/models/demo"', readme)
    assert load_config("demo").push_destination == str(pathlib.Path(mounted).absolute())


def test_the_source_gets_its_settings_and_the_classes(write):
    config = load_config(write(MINIMAL))
    source = ManifestSource(**config.source_settings())
    assert source.classes == ("cat", "dog")
    assert not source.multi_label


def test_texts_are_replaced_only_if_asked(write):
    assert load_config(write(MINIMAL)).data.inconsistency is None
    asked = MINIMAL.replace("rows.jsonl}", "rows.jsonl, inconsistency: {rate: 0.3, seed: 2}}")
    config = load_config(write(asked))
    assert config.data.inconsistency.model_dump() == {"rate": 0.3, "seed": 2, "policy": None}
    # The source itself is the same.
    assert config.source_settings() == load_config(write(MINIMAL)).source_settings()
    with pytest.raises(ValueError, match="inconsistency.rates`: unknown key. Known here: policy, rate, seed"):
        load_config(write(asked.replace("rate:", "rates:")))


def test_every_source_has_the_modalities_of_its_class():
    assert {name: data.modalities for name, data in SOURCE_DATA.items()} == {
        name: SOURCES[name].modalities for name in SOURCES
    }


def test_the_taps_follow_from_the_modalities(write):
    assert load_config(write(MINIMAL)).fusion == FusionSettings()
    given = "fusion: {lfbc_taps: [image_low, image_high]}\n"
    fusion = load_config(write(MINIMAL + given)).fusion
    assert fusion.lfbc_taps == ("image_low", "image_high") and fusion.hfbc_taps == ("text_high", "image_high")


@pytest.mark.parametrize(("source", "first"), [("ntu", "skeleton"), ("egogesture", "depth")])
def test_clips_have_a_grid_along_time(write, source, first):
    clips = f"""
name: clips
data: {{source: {source}}}
preparation: {{classes: [clapping, reading]}}
gate: {{min_f1_m: 0.5}}
"""
    config = load_config(write(clips))
    fusion = config.fusion
    assert fusion.lfbc_taps == (f"{first}_low", "video_low") and fusion.hfbc_taps == (f"{first}_high", "video_high")
    assert (fusion.grid, config.final_model.channels) == ((8, 1), 128)
    assert load_config(write(clips + "fusion: {grid: [4, 1]}\n")).fusion.grid == (4, 1)
    with pytest.raises(ValueError, match=r"`backbones` must be of the modalities .*Received: \['text'\]"):
        load_config(write(clips + "backbones: {text: {embedding_dim: 8}}\n"))
    for line in ("skeleton_frames: 15", "clip_frames: 0", "clip_size: [0, 8]"):
        with pytest.raises(ValueError, match=f"`preparation.{line.split(':')[0]}"):
            load_config(write(clips.replace("reading]", f"reading], {line}")))


def test_the_environment_names_the_file_and_the_demo_is_the_default(write, monkeypatch):
    monkeypatch.setenv("HFMNAS_CONFIG", str(write(MINIMAL)))
    assert load_config().name == "mine"
    monkeypatch.delenv("HFMNAS_CONFIG")
    assert load_config().name == "demo"


def test_nothing_can_be_changed_later():
    config = load_config("demo")
    with pytest.raises(pydantic.ValidationError):
        config.name = "other"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("searhc: {epochs: 3}", ["`searhc`: unknown key", "search"]),
        ("search: {epochz: 3}", ["`search.epochz`: unknown key", "epochs"]),
        ("backbones: {image: {dept: 16}}", ["`backbones.image.dept`: unknown key", "depth"]),
        ("backbones: {text: {kind: encoder}}", ["`backbones.text.encoder`: is missing"]),
        ("backbones: {text: {kind: encoder, encoder: x, dept: 1}}", ["`backbones.text.dept`: unknown key", "low_tap"]),
        ("backbones: {image: {kind: cnn, encoder: x}}", ["`backbones.image`: There is no kind of backbone 'cnn'"]),
        ("backbones: {text: {kind: encoder, encoder: x, pooling: max}}", ["`pooling` must be one of", "'max'"]),
        ("backbones: {video: {kind: encoder, encoder: x}}", ["`backbones.video`", "is for text and image"]),
        ("search: {epochs: many}", ["`search.epochs`", "valid integer", "'many'"]),
        ("search: {epochs: 0}", ["`search`", "`epochs` must be at least 1. Received: 0"]),
        (
            "final_model: {channels: 10}",
            ["`final_model.channels` must be a positive multiple of `fusion.num_heads`, 4", "10"],
        ),
        ("final_model: {channels: 0}", ["`final_model`", "`channels` must be at least 1"]),
        ("final_model: {ensemble: 0}", ["`ensemble` must be at least 1. Received: 0"]),
        (
            "final_model: {ensemble: 4}",
            ["`final_model.ensemble` above 1 needs `training.unfreeze_backbones: false`", "4"],
        ),
        (
            "model: bm_nas\nbm_nas: {cells: 3}\nmitigation: {in_bm_nas: true}",
            ["`bm_nas.cells` must be 2 for `mitigation.in_bm_nas`. Received: 3"],
        ),
        ("fusion: {lfbc_taps: [text_low, video_low]}", ["`fusion.lfbc_taps` must be two of ['text_low'", "video_low"]),
        ("search: {channels: 30}", ["`search.channels` must be a positive multiple of `fusion.num_heads`, 4", "30"]),
        ("search: {channels: 0}", ["`search.channels`", "Received: 0"]),
        (
            "fusion: {num_heads: 3}\nfinal_model: {channels: 15, sequence_encoder: true}\nsearch: {channels: 12}",
            ["`final_model.channels` must be even", "15"],
        ),
        ("fusion: {num_heads: 0}", ["`num_heads` must be at least 1"]),
        ("fusion: {grid: [4, 0]}", ["`grid` must be two ints"]),
        ("space: {edge_operations: [none]}", ["`edge_operations` must have `none` and what to choose from"]),
        ("space: {node_operations: [pool]}", ["no node operation 'pool'. Known ones: sum, ", "`plugins`"]),
        ("mitigation: {correlation_dim: 0}", ["`correlation_dim` must be at least 1"]),
        ("mitigation: {correlation_weight: -1}", ["`correlation_weight` must be 0 or more"]),
        ("fusion: {attention_values: both}", ["`attention_values` must be one of ('query', 'key')", "'both'"]),
        (
            "mitigation: {correlation_norm: trace}",
            ["`correlation_norm` must be one of ('nuclear', 'frobenius')", "'trace'"],
        ),
        ("backbones: {image: {depth: 16, high_tap: block4_conv4}}", ["`high_tap` must be a layer of VGG-16", "block4"]),
        ("backbones: {image: {head_dropout: 1}}", ["`head_dropout` must be in [0, 1)"]),
        ("backbones: {text: {hidden_units: [64, 0]}}", ["`hidden_units` must be two ints"]),
        ("backbones: {text: {pieces: 0}}", ["`pieces` must be at least 1"]),
        ("backbones: {text: {token_dropout: 1}}", ["`token_dropout` must be in [0, 1)"]),
        ("backbones: {text: {learning_rate: 0}}", ["`learning_rate` must be above 0, or None"]),
        ("serving: {abstention: {max_conflict: 2}}", ["`serving.abstention`", "`max_conflict` must be in [0, 1]"]),
        ("serving: {abstention: {max_conflicts: 1}}", ["unknown key", "max_conflict, max_uncertainty"]),
        ("serving: {push_destinatoin: x}", ["`serving.push_destinatoin`: unknown key"]),
        ("- a list", ["not YAML"]),
    ],
)
def test_a_wrong_key_or_value_is_named(write, line, told):
    path = write(MINIMAL + line + "\n")
    with pytest.raises(ValueError) as caught:
        load_config(path)
    for words in [str(path), *told]:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: mine", "name: My Run", "`name`"),
        (
            "manifest: data/rows.jsonl",
            "manifst: data/rows.jsonl",
            "`data.manifst`: unknown key. Known here: columns, data_root",
        ),
        ("source: manifest", "source: nowhere", "no source 'nowhere'. Known ones: demo, manifest"),
        ("[cat, dog]", "[cat]", "`preparation.classes`"),
        ("[cat, dog]", "[cat, cat]", "class names must be distinct"),
        ("min_f1_m: 0.5", "min_f1_m: 50", "`gate.min_f1_m`"),
        ("gate: {min_f1_m: 0.5}", "", "`gate`: is missing"),
    ],
)
def test_a_wrong_part_is_named(write, old, new, told):
    with pytest.raises(ValueError, match=told.replace("'", ".")):
        load_config(write(MINIMAL.replace(old, new)))


def test_a_model_without_heads_or_sequence_encoder_may_have_any_width(write):
    config = load_config(write(MINIMAL + "model: concatenation\nsearch: {channels: 30}\n"))
    assert config.search.channels == 30
    fusion = "fusion: {num_heads: 3}\nfinal_model: {channels: 15, sequence_encoder: false}\nsearch: {channels: 12}\n"
    assert load_config(write(MINIMAL + fusion)).final_model.channels == 15


@pytest.mark.parametrize(
    ("preset", "width", "grid", "steps"),
    [("mmimdb", 192, (4, 4), 1), ("ntu", 128, (8, 1), 2), ("egogesture", 128, (8, 1), 3)],
)
def test_one_line_makes_a_preset_one_of_bm_nas(tmp_path, preset, width, grid, steps):
    """Widths, positions, cells and inner steps are those that BM-NAS's code has as defaults."""
    text = (PRESETS_FOLDER / f"{preset}.yaml").read_text(encoding="utf-8")
    (tmp_path / "run.yaml").write_text(text + "model: bm_nas\n", encoding="utf-8")
    config = load_config(tmp_path / "run.yaml")
    assert config.model == "bm_nas"
    assert config.fusion == load_config(preset).fusion and config.search == load_config(preset).search
    assert (config.final_model.channels, config.fusion.grid, config.bm_nas.inner_steps) == (width, grid, steps)
    assert config.bm_nas.cells == 2 and not config.mitigation.in_bm_nas
    partial = text.replace("search:", "search:\n  partial_channels: 4") + "model: bm_nas\n"
    (tmp_path / "run.yaml").write_text(partial, encoding="utf-8")
    with pytest.raises(ValueError, match="partial_channels. must be 1 for .model: bm_nas"):
        load_config(tmp_path / "run.yaml")


def test_a_missing_file_lists_the_presets():
    with pytest.raises(ValueError, match="demo, .*manifest, "):
        load_config("nowhere.yaml")


def test_python_objects_in_yaml_are_refused(write):
    with pytest.raises(ValueError, match="not YAML that can be read"):
        load_config(write("name: !!python/object/apply:os.system ['true']\n"))


@pytest.mark.parametrize("path", sorted((pathlib.Path(__file__).parents[1] / "configs").glob("*.yaml")), ids=str)
def test_the_configurations_of_ci_are_read(path):
    assert load_config(path).name == path.stem


def test_a_wrong_setting_of_the_method_shows_when_the_file_is_read(tmp_path):
    content = yaml.safe_load((PRESETS_FOLDER / "demo_paper.yaml").read_text(encoding="utf-8"))
    content["backbones"]["image"]["depth"] = 11
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ValueError, match="backbones.image.*16 or 19"):
        load_config(tmp_path / "run.yaml")


@pytest.mark.parametrize("source", ["ntu", "egogesture"])
def test_a_source_without_texts_has_none_to_replace(source):
    with pytest.raises(pydantic.ValidationError, match="replaces texts"):
        SOURCE_DATA[source](source=source, inconsistency={"rate": 0.3})


def test_reading_a_configuration_does_not_wait_for_tensorflow():
    # The runner quiets TensorFlow before it is imported; and a slip in the file should show at once.
    code = (
        "import sys; from pipeline.config_file import load_config; load_config('demo'); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=pathlib.Path(__file__).parents[2])


def test_a_source_of_another_package_is_configured_by_its_class(write, tmp_path, monkeypatch):
    for table in ("_things", "_descriptions"):
        monkeypatch.setattr(SOURCES, table, dict(getattr(SOURCES, table)))

    @register_source
    class MemeSource(Source):
        name = "memes_of_mine"
        paths = ("folder",)
        schema_file = "/schemas/memes.pbtxt"

        def __init__(self, folder: str, classes, rows: int = 3):
            self.folder, self.classes, self.rows = folder, classes, rows

        def read(self):
            raise NotImplementedError

        def files(self):
            raise NotImplementedError

    content = MINIMAL.replace("source: manifest, manifest: data/rows.jsonl", "source: memes_of_mine, folder: memes")
    config = load_config(write(content))
    assert config.source_settings() == {"folder": str(tmp_path / "memes"), "rows": 3, "classes": ["cat", "dog"]}
    assert config.schema_file == "/schemas/memes.pbtxt"
    assert config.data.modalities == ("text", "image")
    with pytest.raises(ValueError, match="`data.rows`: Input should be a valid integer"):
        load_config(write(content.replace("folder: memes", "folder: memes, rows: many")))
    with pytest.raises(ValueError, match="`data.row`: unknown key. Known here: .*folder.*rows"):
        load_config(write(content.replace("folder: memes", "folder: memes, row: 2")))
    with pytest.raises(ValueError, match="must be false for the source 'memes_of_mine'"):
        load_config(write(content.replace("dog]", "dog], multi_label: true")))


def test_plugins_are_imported_before_names_are_looked_up(write, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_in_use", [])
    for table in ("_things", "_descriptions"):
        monkeypatch.setattr(PLAIN_MODELS, table, dict(getattr(PLAIN_MODELS, table)))
    (tmp_path / "my_models.py").write_text(
        "from hfmnas_keras.settings.models import PLAIN_MODELS\nPLAIN_MODELS.register('my_model')(None)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    content = MINIMAL + "model: my_model\n"
    with pytest.raises(ValueError, match="no model 'my_model'. Known ones: hf_mnas, .*`plugins`"):
        load_config(write(content))
    with pytest.raises(ValueError, match="`plugins`|The plugin 'my_other_models' cannot be imported"):
        load_config(write(content + "plugins: [my_other_models]\n"))
    config = load_config(write(content + "plugins: [my_models]\n"))
    assert config.plugins == plugins.plugins_in_use() == ("my_models",)
    assert with_overrides(config, {"search.epochs": 3}).plugins == ("my_models",)
    # What an installed package offers needs no naming.
    point = importlib.metadata.EntryPoint("mine", "my_models", "hfmnas.plugins")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group == point.group else [])
    assert load_config(write(content)).plugins == ("my_models",)


def test_paths_know_the_home_folder_and_variables(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DISK", str(tmp_path / "disk"))
    text = MINIMAL.replace("data/rows.jsonl", "~/rows.jsonl, data_root: $DISK/pictures")
    config = load_config(write(text + "paths: {root: ~/runs}\nserving: {push_destination: '${DISK}/models'}\n"))
    assert config.data.manifest == str(tmp_path / "home" / "rows.jsonl")
    assert config.data.data_root == str(tmp_path / "disk" / "pictures")
    assert config.root == tmp_path / "home" / "runs"
    assert config.push_destination == str(tmp_path / "disk" / "models")


def test_a_key_given_twice_is_refused_with_its_lines(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("name: mine\nsearch:\n  epochs: 2\n  seed: 1\n  epochs: 3\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"run.yaml .*'epochs' is given twice, in lines 3 and 5"):
        load_config(file)
    file.write_text("data: {source: demo}\nname: mine\ndata: {source: manifest}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'data' is given twice, in lines 1 and 3"):
        load_config(file)


@pytest.mark.parametrize("folder", ["out [v2]", "out*", "what?"])
def test_a_folder_that_beam_takes_for_a_pattern_is_refused(folder):
    config = load_config("demo")
    config = config.model_copy(update={"paths": config.paths.model_copy(update={"root": folder})})
    with pytest.raises(ValueError, match="Set `paths"):
        _ = config.pipeline_root
