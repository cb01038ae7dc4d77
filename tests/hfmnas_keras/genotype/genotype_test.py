import json

import pytest

from hfmnas_keras.genotype import CellGenotype, Genotype, NodeChoice


def make_cell(kept=(0, 2), importance=(0.5, 0.2, 0.2, 0.1)):
    """Node 0 and 2 are kept, node 2 reads node 1, and node 3 is pruned."""
    nodes = (
        NodeChoice(0, (0, 1), ("skip", "sep_conv_3x3"), "sum"),
        NodeChoice(1, (0, 2), ("linear_elu", "max_pool_3x3"), "mamba_fusion"),
        NodeChoice(2, (1, 3), ("dil_conv_3x3", "linear_tanh"), "linear_glu"),
    )
    return CellGenotype(num_nodes=4, nodes=nodes, kept=kept, importance=importance)


def make_genotype():
    hfbc = CellGenotype(4, (NodeChoice(3, (0, 1), ("skip", "skip"), "multiply"),), kept=(3,))
    return Genotype(make_cell(), hfbc, metadata={"seed": 7, "lfbc_taps": ["text_low", "image_low"]})


def content():
    return json.loads(make_genotype().to_json())


def test_json_is_a_mapping_from_labels_to_names():
    received = content()
    assert received["version"] == 1
    assert received["num_nodes"] == 4
    assert received["cells"] == {
        "lfbc/node_0/edge_0": "skip",
        "lfbc/node_0/edge_1": "sep_conv_3x3",
        "lfbc/node_0/fusion": "sum",
        "lfbc/node_1/edge_0": "linear_elu",
        "lfbc/node_1/edge_2": "max_pool_3x3",
        "lfbc/node_1/fusion": "mamba_fusion",
        "lfbc/node_2/edge_1": "dil_conv_3x3",
        "lfbc/node_2/edge_3": "linear_tanh",
        "lfbc/node_2/fusion": "linear_glu",
        "hfbc/node_3/edge_0": "skip",
        "hfbc/node_3/edge_1": "skip",
        "hfbc/node_3/fusion": "multiply",
    }
    assert received["kept"] == {"lfbc": [0, 2], "hfbc": [3]}
    assert received["importance"]["lfbc/node_0"] == 0.5
    assert received["importance"]["hfbc/node_2"] == 0.25
    assert received["metadata"] == {"seed": 7, "lfbc_taps": ["text_low", "image_low"]}


def test_round_trips(tmp_path):
    genotype = make_genotype()
    assert Genotype.from_json(genotype.to_json()) == genotype
    path = tmp_path / "new" / "genotype.json"
    genotype.save(path)
    assert Genotype.load(path) == genotype
    assert path.read_text(encoding="utf-8") == genotype.to_json()
    assert [each.name for each in path.parent.iterdir()] == ["genotype.json"]
    assert CellGenotype.from_config(json.loads(json.dumps(genotype.lfbc.to_config()))) == genotype.lfbc
    assert hash(genotype.lfbc) == hash(make_cell())
    with pytest.raises(AttributeError):
        genotype.lfbc = genotype.hfbc
    with pytest.raises(TypeError):
        genotype.metadata["seed"] = 8


def test_a_node_may_have_more_than_two_edges():
    genotype = Genotype.from_json(with_choices(lfbc__node_2__edge_0="skip"))
    assert genotype.lfbc.nodes[2] == NodeChoice(2, (0, 1, 3), ("skip", "dil_conv_3x3", "linear_tanh"), "linear_glu")
    assert Genotype.from_json(genotype.to_json()) == genotype
    with pytest.raises(ValueError, match=r"different ones, rising. Received: \(0, 1, 1\)"):
        NodeChoice(2, (0, 1, 1), ("skip",) * 3, "sum")
    with pytest.raises(ValueError, match="one edge operation a predecessor"):
        NodeChoice(2, (0, 1, 2), ("skip",) * 2, "sum")


def test_a_genotype_by_hand_needs_no_importance_and_no_metadata():
    received = content()
    del received["importance"], received["metadata"]
    genotype = Genotype.from_json(json.dumps(received))
    assert genotype.lfbc.importance == (0.25,) * 4
    assert genotype.lfbc.scales == (1.0,) * 4
    assert make_cell().scales == pytest.approx((2.0, 0.8, 0.8, 0.4))


def changed(**changes):
    return json.dumps({**content(), **changes})


def with_choices(**choices):
    cells = content()["cells"]
    for label, name in choices.items():
        label = label.replace("__", "/")
        if name is None:
            del cells[label]
        else:
            cells[label] = name
    return changed(cells=cells)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON text"),
        ("[1]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        (b"\xff\xfe\x00", "JSON text"),
        ("[" * 100_000, "JSON text"),
        (" " * 1_000_001, "few kilobytes"),
        ('{"version": 1, "version": 1}', "stands twice"),
        ('{"version": NaN}', "finite"),
        ('{"version": 1}', "Missing: cells, kept, num_nodes"),
        (changed(surprise=1), "Not known: surprise"),
        (changed(version=2), "version 2"),
        (changed(version=True), "version True"),
        (changed(version="1"), "version '1'"),
        (changed(num_nodes=0), "int from 1 to 64"),
        (changed(num_nodes=10**9), "int from 1 to 64"),
        (changed(num_nodes="4"), "int from 1 to 64"),
        (changed(num_nodes=3, importance=None), "no node_3"),
        (changed(cells=[]), "`cells` must be a JSON object"),
        (changed(kept={"lfbc": [0, 2]}), "Missing: hfbc"),
        (changed(kept={"lfbc": [], "hfbc": [3]}), "at least one node"),
        (changed(kept={"lfbc": [0, 0, 2], "hfbc": [3]}), "once each"),
        (changed(kept={"lfbc": [2, 0], "hfbc": [3]}), "rising"),
        (changed(kept={"lfbc": [0, 2, 3], "hfbc": [3]}), "node_3 is kept but nothing is chosen"),
        (changed(kept={"lfbc": [0, -1], "hfbc": [3]}), "rising"),
        (changed(kept={"lfbc": [True], "hfbc": [3]}), "ints"),
        (changed(kept={"lfbc": "02", "hfbc": [3]}), "list of node numbers"),
        (changed(kept={"lfbc": [0], "hfbc": [3]}), "node_2 is neither kept nor read"),
        (changed(importance={}), "Missing"),
        (changed(importance={**content()["importance"], "lfbc/node_0": "0.5"}), "must be a number"),
        (changed(importance={**content()["importance"], "lfbc/node_0": True}), "must be a number"),
        (changed(importance={**content()["importance"], "lfbc/node_0": -0.5}), "from 0 to 1"),
        (changed(importance={**content()["importance"], "lfbc/node_0": 0.9}), "sum 1"),
        (changed(metadata=3), "`metadata` must be a JSON object"),
        (with_choices(lfbc__node_0__fusion="fission"), "node operation.*'fission'"),
        (with_choices(lfbc__node_0__fusion=["sum"]), "must name an operation"),
        (with_choices(lfbc__node_0__fusion=None), "no choice labelled `node_0/fusion`"),
        (with_choices(lfbc__node_0__edge_0="none"), "edge operation.*'none'"),
        (with_choices(lfbc__node_0__edge_0="exec"), "edge operation.*'exec'"),
        (with_choices(lfbc__node_0__edge_0=None), "node_0 needs two edges"),
        (with_choices(lfbc__node_2__edge_1=None, lfbc__node_2__edge_3=None), "node_2 needs two edges or more"),
        # Node 1 reads itself, and node 0 reads node 1: cycles.
        (with_choices(lfbc__node_1__edge_2=None, lfbc__node_1__edge_3="skip"), "predecessors 0 to 2"),
        (with_choices(lfbc__node_0__edge_1=None, lfbc__node_0__edge_3="skip"), "predecessors 0 to 1"),
        (with_choices(lfbc__node_2__edge_3=None, lfbc__node_2__edge_999="skip"), "predecessors 0 to 3"),
        (with_choices(lfbc__node_00__edge_0="skip"), "labelled"),
        (with_choices(lfbc__node_0="skip"), "labelled"),
        (with_choices(mfbc__node_0__fusion="sum"), "begin with one of lfbc, hfbc"),
        (
            with_choices(lfbc__node_1__edge_0=None, lfbc__node_1__edge_2=None, lfbc__node_1__fusion=None),
            "node_2 reads node_1",
        ),
    ],
)
def test_hostile_text_is_refused_with_a_reason(text, message):
    with pytest.raises(ValueError, match=message):
        Genotype.from_json(text)


def test_a_file_that_is_no_genotype_is_named(tmp_path):
    path = tmp_path / "genotype.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="genotype.json is not a genotype"):
        Genotype.load(path)


def test_metadata_must_be_json():
    for metadata in ({"loss": float("nan")}, {"array": object()}):
        with pytest.raises(ValueError, match="`metadata` must be a mapping of JSON values"):
            Genotype(make_cell(), make_cell(), metadata=metadata)


def test_cells_of_different_sizes_are_refused():
    small = CellGenotype(1, (NodeChoice(0, (0, 1), ("skip", "skip"), "sum"),), kept=(0,))
    with pytest.raises(ValueError, match="same number of nodes"):
        Genotype(make_cell(), small)
    with pytest.raises(ValueError, match="`hfbc` must be a `CellGenotype`"):
        Genotype(make_cell(), None)
