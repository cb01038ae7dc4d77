import pytest
import tensorflow as tf

from components.multimodal_example_gen.readers.spans import newest_span
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from tests.components.multimodal_example_gen import manifest_folder


@pytest.fixture(params=["local", "bucket"])
def root(request, tmp_path):
    return str(tmp_path) if request.param == "local" else f"ram://spans/{tmp_path.name}"


def put(*paths):
    for path in paths:
        tf.io.gfile.makedirs(path.rpartition("/")[0])
        with tf.io.gfile.GFile(path, "w") as file:
            file.write("{}\n")


def test_numbers_count_not_letters(root):
    put(*(f"{root}/rows-{name}.jsonl" for name in ("2", "9", "10", "x", "11.old")), f"{root}/other-99.jsonl")
    assert newest_span(f"{root}/rows-{{SPAN}}.jsonl") == f"{root}/rows-10.jsonl"


def test_the_greatest_version_of_the_greatest_span(root):
    put(*(f"{root}/{span}/v{version}/rows.csv" for span, version in ((1, 9), (3, 2), (3, 12), (3, 4))))
    # A newer span is being written and has no rows yet.
    put(f"{root}/4/v1/rows.csv.part")
    assert newest_span(f"{root}/{{SPAN}}/v{{VERSION}}/rows.csv") == f"{root}/3/v12/rows.csv"


def test_others_stay_as_they_are():
    assert newest_span("/data/{x}/rows.jsonl") == "/data/{x}/rows.jsonl"


def test_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="whole numbers in place of {SPAN}"):
        newest_span(f"{tmp_path}/rows-{{SPAN}}.jsonl")
    with pytest.raises(ValueError, match="{VERSION} needs {SPAN}"):
        newest_span("rows-{VERSION}.jsonl")


def test_a_source_reads_the_newest_span_and_stays_with_it(tmp_path):
    for span, number in ((1, 12), (2, 18)):
        rows = manifest_folder.rows(number)
        manifest_folder.save_pictures(tmp_path / str(span), rows)
        manifest_folder.write_jsonl(tmp_path / str(span), rows)
    pattern = str(tmp_path / "{SPAN}" / "manifest.jsonl")
    source = ManifestSource(pattern)
    before = source.fingerprint()
    assert len(source.read().rows) == 18
    (tmp_path / "3").mkdir()
    manifest_folder.write_jsonl(tmp_path / "3", manifest_folder.rows(6))
    assert source.image(source.read().rows[17]).startswith(b"\x89PNG") and source.fingerprint() == before
    assert ManifestSource(pattern).fingerprint() != before
