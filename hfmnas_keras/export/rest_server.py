"""A small HTTP server that speaks the REST dialect of TensorFlow Serving, to try a model with."""

from __future__ import annotations

import base64
import binascii
import http.server
import json
import os
import pathlib
import threading
from typing import Any

import numpy as np
import tensorflow as tf

_LARGEST_REQUEST = 64 << 20
_PREDICT = ":predict"


class RestServer(http.server.ThreadingHTTPServer):
    """Serves one exported model.

    | request | answer |
    | --- | --- |
    | `POST /v1/models/NAME:predict` with `inputs`, arrays by argument | `outputs`, arrays by name |
    | the same with `instances`, a list of rows | `predictions`, a list of rows |
    | `GET /v1/models/NAME` | the model's state |

    `signature_name` is `serving_default` where it is not given. Bytes are `{"b64": ...}`. One request is computed at a
    time. What is wrong with a request is told as `{"error": ...}` with the code 400, 404 or 413.

    Args:
        path: folder of a SavedModel.
        name: str. Of the model, in addresses.
        host: str. Address to listen at. Defaults to this machine alone.
        port: int. `0` takes one that is free. Defaults to `8501`.
    """

    daemon_threads = True

    def __init__(self, path: str | os.PathLike, name: str = "model", host: str = "127.0.0.1", port: int = 8501):
        self.path = pathlib.Path(path)
        self.name = name
        self.model = tf.saved_model.load(str(path))
        self.turn = threading.Lock()
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> str:
        """Where the model is."""
        host, port = self.server_address[:2]
        return f"http://{str(host)}:{port}/v1/models/{self.name}"

    def predict(self, request: Any) -> dict[str, Any]:
        """Answers a request.

        Raises:
            ValueError: when it is none that the model can answer.
        """
        if not isinstance(request, dict) or ("inputs" in request) == ("instances" in request):
            raise ValueError('Expected an object with either "inputs" or "instances".')
        name = request.get("signature_name", "serving_default")
        if not isinstance(name, str) or name not in self.model.signatures:
            raise ValueError(f"There is no signature {name!r}. Known ones: {', '.join(self.model.signatures)}.")
        signature = self.model.signatures[name]
        specs = signature.structured_input_signature[1]
        arguments = self._arguments(request, specs)
        with self.turn:
            try:
                outputs = {key: value.numpy() for key, value in signature(**arguments).items()}
            except tf.errors.InvalidArgumentError as error:
                raise ValueError(error.message) from error
        values = {key: _jsonable(value) for key, value in outputs.items()}
        if "inputs" in request:
            return {"outputs": values}
        rows = len(request["instances"])
        return {"predictions": [{key: value[row] for key, value in values.items()} for row in range(rows)]}

    def _arguments(self, request: dict[str, Any], specs: dict[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
        if "instances" in request:
            rows = request["instances"]
            if not isinstance(rows, list) or not rows:
                raise ValueError('"instances" must be a list of rows.')
            if len(specs) == 1 and not all(isinstance(row, dict) and set(row) == set(specs) for row in rows):
                given = {next(iter(specs)): rows}
            elif all(isinstance(row, dict) and set(row) == set(specs) for row in rows):
                given = {key: [row[key] for row in rows] for key in specs}
            else:
                raise ValueError(f'Every row of "instances" must have {", ".join(sorted(specs))}.')
        else:
            given = request["inputs"]
            if len(specs) == 1 and not (isinstance(given, dict) and set(given) == set(specs)):
                given = {next(iter(specs)): given}
            if not isinstance(given, dict) or set(given) != set(specs):
                raise ValueError(f'"inputs" must have {", ".join(sorted(specs))}.')
        arguments = {}
        for key, spec in specs.items():
            value = _decoded(given[key]) if spec.dtype == tf.string else given[key]
            try:
                arguments[key] = tf.constant(value, spec.dtype)
            except (TypeError, ValueError) as error:
                raise ValueError(f"`{key}` must be an array of {spec.dtype.name}: {error}") from error
            if not spec.shape.is_compatible_with(arguments[key].shape):
                raise ValueError(f"`{key}` must have the shape {spec.shape}. Received: {arguments[key].shape}.")
        return arguments


class _Handler(http.server.BaseHTTPRequestHandler):
    server: RestServer

    def do_GET(self) -> None:
        if self.path.split("?")[0].rstrip("/") != f"/v1/models/{self.server.name}":
            self._answer(404, {"error": f"There is no {self.path}. Try /v1/models/{self.server.name}."})
            return
        state = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        self._answer(200, {"model_version_status": [state]})

    def do_POST(self) -> None:
        if self.path != f"/v1/models/{self.server.name}{_PREDICT}":
            self._answer(404, {"error": f"There is no {self.path}. Try /v1/models/{self.server.name}{_PREDICT}."})
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST_REQUEST:
            self.close_connection = True
            self._answer(413, {"error": f"A request has a Content-Length of at most {_LARGEST_REQUEST:,} bytes."})
            return
        try:
            request = json.loads(self.rfile.read(int(length)))
            answer = self.server.predict(request)
        except (ValueError, RecursionError) as error:
            self._answer(400, {"error": str(error)})
            return
        self._answer(200, answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the terminal quiet."""

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _decoded(value: Any) -> Any:
    """Strings and `{"b64": ...}` as bytes, however deep in lists."""
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"A value is no base64: {error}") from error
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    raise ValueError(f'Expected strings or {{"b64": ...}}. Received: {str(value)[:60]!r}.')


def _jsonable(values: np.ndarray) -> Any:
    if values.dtype != object:
        return values.tolist()
    texts = [value.decode("utf-8", "replace") for value in values.ravel()]
    return np.array(texts, object).reshape(values.shape).tolist()
