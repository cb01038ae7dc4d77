from click.testing import CliRunner

from hfmnas_keras.cli import main
from hfmnas_keras.edge_operations import edge_operation
from hfmnas_keras.models.bm_nas.fusion_operations import fusion_operation
from hfmnas_keras.node_operations import node_operation


def test_it_lists_every_operation_that_can_be_made():
    result = CliRunner().invoke(main, ["operations"])
    assert result.exit_code == 0
    listed = [[line.split(maxsplit=1) for line in group.splitlines()[1:]] for group in result.stdout.split("\n\n")]
    assert [len(group) for group in listed] == [10, 9, 4]
    for group, make in zip(listed, (edge_operation, node_operation, fusion_operation), strict=True):
        for name, description in group:
            make(name, 8)
            assert description.strip()
