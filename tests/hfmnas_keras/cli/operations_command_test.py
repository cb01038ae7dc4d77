from click.testing import CliRunner

from hfmnas_keras.cli import main
from hfmnas_keras.edge_operations import edge_operation
from hfmnas_keras.node_operations import node_operation


def test_it_lists_every_operation_that_can_be_made():
    result = CliRunner().invoke(main, ["operations"])
    assert result.exit_code == 0
    edges, nodes = result.stdout.split("\n\n")
    listed = [[line.split(maxsplit=1) for line in group.splitlines()[1:]] for group in (edges, nodes)]
    assert [len(group) for group in listed] == [10, 9]
    for name, description in listed[0]:
        edge_operation(name, 8)
        assert description.strip()
    for name, description in listed[1]:
        node_operation(name, 8)
        assert description.strip()
