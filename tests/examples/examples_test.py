import base64
import http.server
import json
import pathlib
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from examples import predict_folder, rest_client, search_on_features
from hfmnas_keras import FeatureSet, SpaceSettings, load_genotype


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as TensorFlow Serving does, and keeps what it was asked."""

    asked: dict = {}

    def do_POST(self):
        Server.asked = {"path": self.path, **json.loads(self.rfile.read(int(self.headers["Content-Length"])))}
        outputs = {"label": ["food"], "score": [0.75], "conflict": [0.1], "abstain": [True], "error": [""]}
        body = json.dumps({"outputs": outputs}).encode("utf-8")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_the_rest_client_asks_and_prints(tmp_path, monkeypatch, capsys):
    (tmp_path / "picture.png").write_bytes(b"picture")
    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/models/demo:predict"
    monkeypatch.setattr(sys, "argv", ["rest_client", str(tmp_path / "picture.png"), "red fruit", "--url", url])
    try:
        rest_client.main()
    finally:
        server.shutdown()
        server.server_close()
    assert capsys.readouterr().out == "food 0.75, conflict 0.10 (abstains)\n"
    assert Server.asked == {
        "path": "/v1/models/demo:predict",
        "signature_name": "serve_json",
        "inputs": {"text": ["red fruit"], "image_bytes": [{"b64": base64.b64encode(b"picture").decode()}]},
    }


class Model(tf.Module):
    """Says `long` of texts of more than five letters, surely."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None], tf.string, "image_bytes")]
    )
    def serve(self, text, image_bytes):
        is_long = tf.strings.length(text) > 5
        score = tf.cast(tf.strings.length(image_bytes), tf.float32) / 10
        label = tf.where(is_long, "long", "short")
        return {"label": label, "score": score, "conflict": score / 2, "abstain": tf.logical_not(is_long)}


def test_a_folder_is_labelled_by_the_newest_version(tmp_path):
    model = Model()
    for version in ("9", "10"):
        tf.saved_model.save(model, str(tmp_path / "serving" / version), signatures={"serve_json": model.serve})
    texts = ["night", "evening", "noon"]
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"12345"[: number + 3])
    rows = [{"id": f"r{number}", "text": text, "image": f"{number}.png"} for number, text in enumerate(texts)]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert predict_folder.newest_version(tmp_path / "serving").name == "10"
    found = list(predict_folder.predictions(tmp_path / "serving" / "10", tmp_path / "data.jsonl", batch_size=2))
    assert [row["label"] for row in found] == ["short", "long", "short"]
    assert [row["score"] for row in found] == [0.3, 0.4, 0.5]
    assert found[1] == {"id": "r1", "label": "long", "score": 0.4, "conflict": 0.2, "abstain": False}
    with pytest.raises(SystemExit, match="holds no numbered version"):
        predict_folder.newest_version(tmp_path)


def test_a_search_on_features_leaves_genotype_and_network(tmp_path):
    random = np.random.default_rng(0)

    def write(name: str, rows: int) -> FeatureSet:
        labels = np.arange(rows) % 2
        arrays = {f"{modality}_{level}": random.normal(size=(rows, 4)) + labels[:, None]
                  for modality in ("text", "image") for level in ("low", "high")}  # fmt: skip
        ids = np.array([f"{name}-{row}" for row in range(rows)])
        np.savez(tmp_path / f"{name}.npz", ids=ids, labels=labels, **arrays)
        return search_on_features.read_rows(str(tmp_path / f"{name}.npz"))

    space = SpaceSettings(2, 1, edge_operations=("none", "skip", "linear_relu"), node_operations=("sum", "multiply"))
    score = search_on_features.search_and_train(write("train", 24), write("dev", 12), tmp_path, 4, 1, space)
    assert 0 <= score <= 1
    assert set(load_genotype(tmp_path / "genotype.json").cells) == {"lfbc", "hfbc"}
    assert (tmp_path / "fusion.keras").is_file() and (pathlib.Path(tmp_path) / "report" / "search.json").is_file()
