"""Writes `maxout.json`, golden values of TensorFlow Addons' Maxout, which cannot be imported beside Keras 3.

Made anew, in an environment of its own:

    python3.10 -m venv oracle && oracle/bin/pip install --require-hashes -r tests/oracles/maxout_requirements.txt &&
        oracle/bin/python tests/oracles/maxout.py

The lock is made by

    uv pip compile tests/oracles/maxout_requirements.in --python-version 3.10 --generate-hashes --no-emit-index-url
        --no-emit-find-links --no-header --output-file tests/oracles/maxout_requirements.txt
"""

import json
import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

# Units, pieces, shape of the input; the second has further axes, the third one piece, the last one unit.
CASES = [(3, 4, (2, 5)), (4, 5, (2, 3, 6)), (6, 1, (3, 4)), (1, 3, (4, 2))]


def main():
    cases = []
    for seed, (units, pieces, shape) in enumerate(CASES):
        generator = np.random.default_rng(seed)
        # Rounded so that the file is short and says exactly what was computed on.
        inputs, kernel, bias = (
            generator.normal(size=size).round(3).astype("float32")
            for size in (shape, (shape[-1], units * pieces), (units * pieces,))
        )
        linear = tf.convert_to_tensor(inputs @ kernel + bias)
        outputs = tfa.layers.Maxout(units)(linear).numpy()
        cases.append(
            {
                "units": units,
                "pieces": pieces,
                **{
                    name: np.round(array.astype("float64"), 7).tolist()
                    for name, array in (("inputs", inputs), ("kernel", kernel), ("bias", bias), ("outputs", outputs))
                },
            }
        )
    golden = {"tensorflow": tf.__version__, "tensorflow_addons": tfa.__version__, "cases": cases}
    # One case a line.
    lines = json.dumps({**golden, "cases": "CASES"}).replace(
        '"CASES"', "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]"
    )
    pathlib.Path(__file__).with_suffix(".json").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
