"""The six lines of `newcomer.sh`, and what must come of them."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pandas

import hfmnas_keras
from hfmnas_keras import FusionClassifier

LOADED = """
import json, sys
import pandas
from hfmnas_keras import FusionClassifier
frame = pandas.read_json(sys.argv[2], lines=True, dtype={"id": str})
print(json.dumps(FusionClassifier.load("saved", folder="rows").predict_proba(frame).tolist()))
"""
PLAIN = """
import json, sys
sys.modules["hfmnas_keras"] = None
import pandas, tensorflow as tf
frame = pandas.read_json(sys.argv[2], lines=True, dtype={"id": str})
serve = tf.saved_model.load("exported").signatures["serve_json"]
pictures = [open("rows/" + name, "rb").read() for name in frame["image"]]
answers = serve(text=tf.constant(frame["text"].tolist()), image_bytes=tf.constant(pictures))
print(json.dumps(answers["probabilities"].numpy().tolist()))
"""


def said_by(program, few):
    """What another process says of a few rows."""
    command = [sys.executable, "-W", "ignore", "-c", program, "-", str(few)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return np.array(json.loads(told.stdout.splitlines()[-1]))


def main():
    folder = pathlib.Path(sys.argv[1])
    print(f"hfmnas {hfmnas_keras.__version__} from {hfmnas_keras.__file__}, Python {sys.version.split()[0]}")
    frame = pandas.read_json(folder / "rows.jsonl", lines=True, dtype={"id": str})
    train, test = frame[frame.split != "test"], frame[frame.split == "test"]
    started = time.monotonic()
    # The six lines.
    classifier = FusionClassifier(folder=folder)
    classifier.fit(train, label="label", time_limit=300)
    predicted = classifier.predict(test)
    scores = classifier.evaluate(test)
    classifier.save("saved")
    classifier.export("exported")

    print(f"fit, predict and evaluate: {time.monotonic() - started:.0f} s; macro F1 {scores['macro_f1']:.3f}")
    assert (predicted == test.label).mean() == scores["accuracy"]
    few = folder / "few.jsonl"
    test[:40].to_json(few, orient="records", lines=True)
    own = classifier.predict_proba(test[:40])
    for name, program in (("loaded in another process", LOADED), ("plain TensorFlow", PLAIN)):
        difference = np.abs(said_by(program, few) - own).max()
        print(f"{name}: differs by {difference:.1e} at most")
        assert difference < 1e-5
    print("The same answers everywhere.")


if __name__ == "__main__":
    main()
