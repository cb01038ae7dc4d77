"""Equal arrays have equal digests, others have others."""

import numpy as np

from hfmnas_keras.data.array_digest import array_digest


def test_values_shapes_types_and_order_count():
    array = np.arange(600.0).reshape(300, 2)
    others = [
        (array + (array == 599),),
        (array.reshape(2, 300),),
        (array.astype("float32"),),
        (array[:299],),
        (array, array),
        (array.T,),
        (np.float64(3.0),),
        (np.float64(4.0),),
    ]
    digests = [array_digest(*arrays) for arrays in [(array,), *others]]
    assert len(set(digests)) == len(digests)
    assert array_digest(array.copy(order="F")) == array_digest(array) == digests[0]
    assert array_digest(array, array[::-1]) != array_digest(array[::-1], array)


def test_encoded_pictures_count_by_their_bytes_wherever_one_ends(tmp_path):
    pictures = np.array([b"ab", b"c"], object)
    assert array_digest(pictures) == array_digest(np.array([b"ab", b"c"], object))
    assert array_digest(pictures) != array_digest(np.array([b"a", b"bc"], object))

    class Rows:
        encoded = pictures

    assert array_digest(Rows()) == array_digest(pictures)
    np.save(tmp_path / "array.npy", np.arange(1000))
    assert array_digest(np.load(tmp_path / "array.npy", mmap_mode="r")) == array_digest(np.arange(1000))
