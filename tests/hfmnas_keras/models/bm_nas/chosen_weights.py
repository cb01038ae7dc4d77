"""Copies the weights of what was chosen out of a supernet of BM-NAS into the model of its genotype."""

from hfmnas_keras.operations import FUSION_OPERATIONS


def copy_bm_model(supernet, model):
    """Gives the model of the supernet's present genotype the weights that its parts have in the supernet."""
    genotype = supernet.genotype()
    read = {tensor.name for tensor in model.inputs}
    for name, grid in zip(supernet.feature_names, supernet.feature_grids, strict=True):
        if name in read:
            model.get_layer(f"{name}_grid").set_weights(grid.get_weights())
    for number, cell in enumerate(supernet.cells):
        searched = model.get_layer(f"cell_{number}")
        for step, operation in enumerate(searched.operations):
            name = genotype.cells[number]["steps"][step]["operation"]
            operation.set_weights(cell.operations[4 * step + FUSION_OPERATIONS.index(name)].get_weights())
        for part in ("projection", "norm", "output_norm") if supernet.space.inner_steps > 1 else ("output_norm",):
            getattr(searched, part).set_weights(getattr(cell, part).get_weights())
    if supernet.mitigation is not None:
        model.get_layer("inconsistency_mitigation").set_weights(supernet.mitigation.get_weights())
    model.get_layer("output_norm").set_weights(supernet.output_norm.get_weights())
    model.get_layer("logits").set_weights(supernet.head.get_weights())
