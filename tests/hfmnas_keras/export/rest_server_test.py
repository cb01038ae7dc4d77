import base64
import json
import threading
import urllib.error
import urllib.request

import pytest

from hfmnas_keras.export.rest_server import RestServer
from tests.tiny_served_model import expected_probabilities, write_tiny_model

ROWS = [("some words", b"\xff\xfe\x00picture"), ("word", b"broken")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = write_tiny_model(tmp_path_factory.mktemp("model") / "1")
    with RestServer(path, "demo", port=0) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(address, content=None):
    body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def b64(picture):
    return {"b64": base64.b64encode(picture).decode()}


def test_columns_and_rows_as_tensorflow_serving_has_them(server):
    columns = {"text": [text for text, _ in ROWS], "image_bytes": [b64(picture) for _, picture in ROWS]}
    code, by_column = ask(f"{server.address}:predict", {"signature_name": "serve_json", "inputs": columns})
    assert code == 200
    for (text, picture), found in zip(ROWS, by_column["outputs"]["probabilities"], strict=True):
        assert found == pytest.approx(expected_probabilities(text, picture), abs=1e-6)
    assert by_column["outputs"]["error"] == ["", "image: The picture is broken."]
    instances = [{"text": text, "image_bytes": b64(picture)} for text, picture in ROWS]
    code, by_row = ask(f"{server.address}:predict", {"instances": instances})
    assert code == 200
    for row, found in enumerate(by_row["predictions"]):
        assert found == {name: values[row] for name, values in by_column["outputs"].items()}


def test_the_state_of_the_model(server):
    code, state = ask(server.address)
    assert code == 200 and state["model_version_status"][0]["state"] == "AVAILABLE"


@pytest.mark.parametrize(
    "content, code, message",
    [
        (b"{", 400, ""),
        ([1], 400, "inputs"),
        ({"inputs": {"text": ["a"]}}, 400, "must have image_bytes, text"),
        ({"inputs": {"text": ["a"], "image_bytes": [{"b64": "?"}]}}, 400, "no base64"),
        ({"inputs": {"text": [["a"]], "image_bytes": ["b"]}}, 400, "`text` must have the shape"),
        ({"inputs": {"text": [3], "image_bytes": ["b"]}}, 400, "Expected strings"),
        ({"signature_name": "other", "instances": [{}]}, 400, "no signature 'other'"),
        ({"instances": []}, 400, "list of rows"),
        (b"[" * 100_000, 400, ""),
    ],
)
def test_what_is_wrong_with_a_request_is_told(content, code, message, server):
    received, answer = ask(f"{server.address}:predict", content)
    assert received == code and message in answer["error"]


def test_other_addresses_and_endless_requests_are_refused(server):
    assert ask(server.address.replace("demo", "other"))[0] == 404
    assert ask(server.address, {"instances": []})[0] == 404
    request = urllib.request.Request(f"{server.address}:predict", b"{}", {"Content-Length": str(1 << 40)})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60)
    assert error.value.code == 413
