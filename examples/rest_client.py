"""Asks a served model over REST, with nothing but Python: `python examples/rest_client.py picture.png "red fruit"`.

Start the server as docs/serving.md says. Prints one line: the label, its probability, and what each modality says.
"""

from __future__ import annotations

import argparse
import base64
import json
import pathlib
import urllib.request
from typing import Any


def ask(url: str, pictures: list[bytes], texts: list[str]) -> dict[str, list[Any]]:
    """Sends rows to the signature `serve_json` and returns its outputs, one entry a row."""
    encoded = [{"b64": base64.b64encode(picture).decode("ascii")} for picture in pictures]
    body = {"signature_name": "serve_json", "inputs": {"text": texts, "image_bytes": encoded}}
    request = urllib.request.Request(url, json.dumps(body).encode("utf-8"), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["outputs"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", help="PNG, JPEG or BMP file")
    parser.add_argument("text")
    parser.add_argument("--url", default="http://localhost:8501/v1/models/demo:predict")
    arguments = parser.parse_args()
    outputs = ask(arguments.url, [pathlib.Path(arguments.picture).read_bytes()], [arguments.text])
    if outputs["error"][0]:
        raise SystemExit(f"The row cannot be used: {outputs['error'][0]}")
    doubt = " (abstains)" if outputs["abstain"][0] else ""
    print(f"{outputs['label'][0]} {outputs['score'][0]:.2f}, conflict {outputs['conflict'][0]:.2f}{doubt}")


if __name__ == "__main__":
    main()
