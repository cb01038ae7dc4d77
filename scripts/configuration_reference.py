"""Writes docs/configuration-reference.md and docs/configuration.schema.json from the settings (`make reference`)."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any

from hfmnas_keras.settings.backbones import BACKBONE_SETTINGS, BACKBONES
from pipeline.config_schema import OWN_KINDS, config_schema
from pipeline.data_config import SOURCE_DATA

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA_FILE = "docs/configuration.schema.json"
PAGE_FILE = "docs/configuration-reference.md"

# The column of types says it already.
_TYPE_WORDS = (
    r"^(?:pair of |tuple of |three )?(?:str|ints?|floats?|bool)"
    r"(?: or None)?(?: in \[0, 1\])?(?: or None)?(?:, rising)?[.:] ?"
)

HEAD = """# Configuration reference

All keys of a run's configuration. This page is generated from the settings' classes; `make reference` writes it anew.
[Configuration](configuration.md) explains the gate and how values are chosen for your own data.

Keys marked *execution* say how something is computed. They change no result, no cache key and no checkpoint.

An editor completes and checks the keys with [the JSON schema](configuration.schema.json). For the YAML language server
(VS Code, Neovim, ...) put this line at the top of your file, with the path to your copy:

```yaml
# yaml-language-server: $schema=docs/configuration.schema.json
```
"""


def reference_files() -> dict[str, str]:
    """Returns the contents of the generated files, by their paths from the root of the repository."""
    schema = config_schema()
    return {SCHEMA_FILE: json.dumps(schema, indent=1) + "\n", PAGE_FILE: _page(schema)}


def _page(schema: dict[str, Any]) -> str:
    definitions = schema["$defs"]
    sections = [HEAD, _section("Top level", schema, 2)]
    for name, field in schema["properties"].items():
        if name == "data":
            sections.append("## data\n\nThe keys follow the `source`. One of a package of your own has its own keys.")
            sections += [
                _section(f"data, source: {key}", definitions[cls.__name__]) for key, cls in SOURCE_DATA.items()
            ]
            sections.append(_section("data.inconsistency", definitions["InconsistencyData"]))
        elif name == "backbones":
            sections.append(f"## backbones\n\n{definitions['BackbonesConfig']['description']}")
            for cls in dict.fromkeys(BACKBONE_SETTINGS.values()):
                keys = [f"backbones.{modality}" for modality, own in BACKBONE_SETTINGS.items() if own is cls]
                sections.append(_section(" and ".join(keys), definitions[cls.__name__]))
            for kind in OWN_KINDS:
                sections.append(_section(f"backbones, kind: {kind}", definitions[BACKBONES[kind].settings.__name__]))
        elif part := _part_of(field):
            sections.append(_section(name, definitions[part], 2))
            for inner, inner_field in definitions[part]["properties"].items():
                if inner_part := _part_of(inner_field):
                    sections.append(_section(f"{name}.{inner}", definitions[inner_part]))
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _section(title: str, schema: dict[str, Any], level: int = 3) -> str:
    lines = [f"{'#' * level} {title}", "", schema["description"], ""]
    lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in schema["properties"].items():
        meaning = re.sub(_TYPE_WORDS, "", field.get("description", ""))
        if field.get("x-execution"):
            meaning = f"*execution.* {meaning}"
        if name in schema.get("required", ()):
            default = "required"
        elif _part_of(field) and field.get("default", ()) is not None:
            default = "see there"
        else:
            default = f"`{json.dumps(field['default'])}`" if "default" in field else "see there"
        lines.append("| " + " | ".join(_cell(text) for text in (f"`{name}`", _type(field), default, meaning)) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _part_of(field: dict[str, Any]) -> str | None:
    """Name of the definition of the keys within a key, where it has some."""
    for one in (field, *field.get("anyOf", ())):
        if "$ref" in one:
            return one["$ref"].split("/")[-1]
    return None


def _type(field: dict[str, Any]) -> str:
    if _part_of(field):
        return "mapping, or null" if "anyOf" in field else "mapping"
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    kind = field.get("type", "any")
    if kind == "array":
        if "prefixItems" in field:
            return "[" + ", ".join(_type(one) for one in field["prefixItems"]) + "]"
        return f"list of {_type(field.get('items', {}))}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, dict) else "mapping"
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[bound]:g}" for bound, sign in bounds.items() if bound in field]
    return " ".join([str(kind), *limits])


def main() -> int:
    for name, text in reference_files().items():
        (ROOT / name).write_text(text, encoding="utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
