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


def test_what_is_not_believed_is_shared():
    np.testing.assert_allclose(opinion_probabilities(np.array([[0.5, 0.1]]), np.array([0.4])), [[0.7, 0.3]])


def test_one_modality_is_refused():
    with pytest.raises(ValueError, match="two modalities"):
        audit({"text": TEXT}, np.array([0, 0, 1]))
    with pytest.raises(ValueError, match="labels \\(2,\\)"):
        audit({"text": TEXT, "image": IMAGE}, np.array([0, 0]))
