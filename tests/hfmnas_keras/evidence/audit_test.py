import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from hfmnas_keras.evidence.audit import audit, opinion_probabilities

TEXT = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1]])
IMAGE = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]])


def test_doubt_and_mismatch_by_hand():
    # Right; a pair that does not belong together; a wrong label.
    result = audit({"text": TEXT, "image": IMAGE}, np.array([0, 0, 1]))
    assert result.suggested.tolist() == [1, 2, 0]
    expected = [math.log(0.03 / 0.48), math.log(0.08 / 0.08), math.log(0.42 / 0.06)]
    np.testing.assert_allclose(result.label_doubt, expected, atol=1e-12)
    assert result.label_doubt.argmax() == 2 and result.mismatch.argmax() == 1
    # SciPy's is the root of it.
    np.testing.assert_allclose(result.mismatch, jensenshannon(TEXT, IMAGE, axis=1) ** 2, atol=1e-12)


def test_nothing_is_infinite():
    sure = np.array([[1.0, 0.0]])
    result = audit({"text": sure, "image": sure[:, ::-1]}, np.array([1]))
    assert np.isfinite(result.label_doubt).all()
    assert result.mismatch[0] == pytest.approx(math.log(2))


def test_several_labels_by_hand():
    text = np.array([[0.9, 0.2], [0.9, 0.2], [0.1, 0.9]])
    image = np.array([[0.8, 0.1], [0.8, 0.1], [0.9, 0.8]])
    # As both say; a label too many; as the text says, whom the picture contradicts.
    labels = np.array([[1, 0], [1, 1], [0, 1]], "float32")
    result = audit({"text": text, "image": image}, labels)
    # Odds of the first label: 9 and 4, of the second 1/4 and 1/9. Two of three rows have either, which are odds of 2.
    assert result.suggested.tolist() == [0, 1, 0]
    expected = [-math.log(9 * 4 / 2), math.log(4 * 9 * 2), math.log(1 / 9 * 9 / 2)]
    np.testing.assert_allclose(result.label_doubt, expected, atol=1e-12)
    pairs = [[(0.9, 0.8), (0.2, 0.1)], [(0.9, 0.8), (0.2, 0.1)], [(0.1, 0.9), (0.9, 0.8)]]
    divergence = [sum(jensenshannon([a, 1 - a], [b, 1 - b]) ** 2 for a, b in row) for row in pairs]
    np.testing.assert_allclose(result.mismatch, divergence, atol=1e-12)


def test_what_is_not_believed_is_shared():
    several = opinion_probabilities(np.array([[0.5, 0.1]]), np.array([[0.4, 0.2]]))
    np.testing.assert_allclose(several, [[0.7, 0.2]])
    np.testing.assert_allclose(opinion_probabilities(np.array([[0.5, 0.1]]), np.array([0.4])), [[0.7, 0.3]])


def test_one_modality_is_refused():
    with pytest.raises(ValueError, match="two modalities"):
        audit({"text": TEXT}, np.array([0, 0, 1]))
    with pytest.raises(ValueError, match="labels \\(2,\\)"):
        audit({"text": TEXT, "image": IMAGE}, np.array([0, 0]))
