import builtins
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from hfmnas_keras.genotype import BMGenotype, CellGenotype, Genotype, NodeChoice
from hfmnas_keras.genotype.drawing import draw, to_dot, to_mermaid


def make_genotype(**metadata):
    nodes = (
        NodeChoice(0, (0, 1), ("skip", "sep_conv_3x3"), "sum"),
        NodeChoice(2, (1, 2), ("max_pool_3x3", "linear_tanh"), "linear_glu"),
    )
    cell = CellGenotype(num_nodes=3, nodes=nodes, kept=(2,), importance=(0.2, 0.2, 0.6))
    return Genotype(cell, cell, metadata=metadata)


def make_bm_genotype(name="image_high"):
    first = [{"inputs": [0, 1], "operation": "linear_glu"}, {"inputs": [1, 2], "operation": "concat_fc"}]
    second = [{"inputs": [0, 1], "operation": "sum"}, {"inputs": [0, 1], "operation": "scaled_dot_attention"}]
    cells = [{"features": ["text_low", name], "steps": first}, {"features": [name, "text_high"], "steps": second}]
    # An odd number, so that a row is not full.
    return BMGenotype([*cells, cells[0]])


def test_mermaid_states_every_choice():
    text = to_mermaid(make_genotype())
    assert text.startswith("flowchart LR\n")
    assert 'lfbc_0(["text_low"])' in text
    assert "lfbc_1 -->|sep_conv_3x3| lfbc_2" in text
    assert "hfbc_2 -->|linear_tanh| hfbc_4" in text
    assert 'hfbc_4["node 2<br/>linear_glu"]' in text
    assert 'hfbc_4 ==>|"0.60"| hfbc_out' in text
    # Node 1 is pruned, and node 0 forms no output.
    assert "lfbc_3" not in text
    assert "lfbc_2 ==>" not in text


def test_more_than_two_edges_into_a_node_are_all_drawn():
    pytest.importorskip("matplotlib")
    nodes = (
        NodeChoice(0, (0, 1), ("skip", "sep_conv_3x3"), "sum"),
        NodeChoice(1, (0, 1, 2), ("max_pool_3x3", "linear_elu", "linear_tanh"), "linear_glu"),
    )
    cell = CellGenotype(num_nodes=2, nodes=nodes, kept=(1,))
    genotype = Genotype(cell, cell)
    assert [to_mermaid(genotype).count(f"| lfbc_{place}\n") for place in (2, 3)] == [2, 3]
    file = io.BytesIO()
    draw(genotype, file, format="svg")
    words = list(ElementTree.fromstring(file.getvalue()).itertext())
    assert [words.count(edge) for edge in nodes[1].edges] == [2, 2, 2]


def test_dot_states_every_choice():
    text = to_dot(make_genotype())
    assert text.startswith("digraph genotype {")
    assert text.count("{") == text.count("}") == 3
    assert 'hfbc_2 -> hfbc_4 [label="linear_tanh"];' in text
    assert 'lfbc_4 -> lfbc_out [label="0.60", style=bold];' in text


def test_names_of_the_inputs_come_from_the_metadata_and_cannot_break_out():
    genotype = make_genotype(lfbc_taps=["image_low", 'x"] evil <b>'], hfbc_taps="none")
    for text in (to_mermaid(genotype), to_dot(genotype)):
        assert "image_low" in text
        assert 'x"] evil' not in text
        assert "<b>" not in text
        assert "text_high" in text


def test_svg_holds_every_word_and_is_always_the_same(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "genotype.svg"
    draw(make_genotype(), path)
    words = [element.text for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]
    for word, count in {"linear_glu": 2, "node 2": 2, "sep_conv_3x3": 2, "text_low": 1, "0.60": 2, "output": 2}.items():
        assert words.count(word) == count, word
    assert "node 1" not in words
    again = io.BytesIO()
    draw(make_genotype(), again, format="svg")
    assert again.getvalue() == path.read_bytes()


def test_png_is_a_picture_with_colours():
    pytest.importorskip("matplotlib")
    from matplotlib import image

    file = io.BytesIO()
    draw(make_genotype(), file)
    file.seek(0)
    pixels = image.imread(file, format="png")
    assert pixels.shape[1] > pixels.shape[0] > 300
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 50


def test_other_formats_are_refused(tmp_path):
    for path in (tmp_path / "genotype.gif", tmp_path / "genotype"):
        with pytest.raises(ValueError, match="`png` or `svg`"):
            draw(make_genotype(), path)


def test_missing_matplotlib_names_the_extra(monkeypatch, tmp_path):
    import_module = builtins.__import__

    def without_matplotlib(name, *arguments, **keywords):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return import_module(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match="extra `plots`"):
        draw(make_genotype(), tmp_path / "genotype.png")


def test_text_of_bm_nas_states_every_choice():
    text = to_mermaid(make_bm_genotype())
    assert text.count("subgraph") == 3
    for line in (
        '    cell_0_1(["image_high"])',
        '    cell_0_3["step 1<br/>concat_fc"]',
        "    cell_0_1 --> cell_0_3",
        "    cell_0_2 --> cell_0_3",
        "    cell_0_0 ==> cell_0_out",
        "    cell_1_3 ==> cell_1_out",
    ):
        assert line in text.splitlines(), line
    dot = to_dot(make_bm_genotype())
    assert dot.count("{") == dot.count("}") == 4
    assert "    cell_0_2 -> cell_0_3;" in dot and "    cell_1_2 -> cell_1_out [style=bold];" in dot
    for text in (to_mermaid, to_dot):
        assert '"] evil' not in text(make_bm_genotype('x"] evil <b>')) and "<b>" not in text(make_bm_genotype("<b>x"))


def test_bm_nas_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "genotype.svg"
    draw(make_bm_genotype(), path)
    words = [element.text for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]
    expected = {"cell 2": 1, "linear_glu": 2, "scaled_dot_attention": 1, "step 1": 3, "image_high": 3, "output": 3}
    for word, count in expected.items():
        assert words.count(word) == count, word
    # No importance, no operations on edges: nothing that would need a key.
    assert "convolution" not in words
