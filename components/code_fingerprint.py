"""A fingerprint of our own code, for execution properties.

TFX serves a stage from its cache when inputs and execution properties are unchanged. Code named by import path is
neither, so each component puts the fingerprint of the code it runs among its properties.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import pathlib

PROJECT_PACKAGES = ("hfmnas_keras", "components", "schemas")
_ROOT = pathlib.Path(__file__).resolve().parent.parent


@functools.cache
def code_fingerprint(*modules: str) -> str:
    """Returns a digest of modules and of all project code they import, directly or not.

    Following the imports keeps a long search in the cache when, say, only the export has changed.

    Args:
        *modules: str. Dotted names of modules or packages below `hfmnas_keras`, `components` or `schemas`. A package
            stands for every file below it, data files included.

    Returns:
        str. 16 hexadecimal digits. Equal code gives equal digits on every machine and in every folder.

    Raises:
        ValueError: when no module is named, or one does not exist in the project's packages.
    """
    if not modules:
        raise ValueError("`code_fingerprint` needs at least one module. Name the ones that do the stage's work.")
    pending = [path for module in modules for path in _files_of(module)]
    seen: set[pathlib.Path] = set()
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.suffix == ".py":
            pending.extend(_imported_files(path))
    digest = hashlib.sha256()
    for path in sorted(seen):
        digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files_of(module: str) -> list[pathlib.Path]:
    base = _ROOT.joinpath(*module.split("."))
    if module.split(".")[0] in PROJECT_PACKAGES:
        if base.with_suffix(".py").is_file():
            return [base.with_suffix(".py")]
        if base.is_dir():
            return [path for path in base.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    raise ValueError(f"`code_fingerprint` knows modules below {PROJECT_PACKAGES}. Received: {module!r}.")


def _imported_files(path: pathlib.Path) -> list[pathlib.Path]:
    files = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            for name in node.names:
                files.extend(_modules_on_the_way(name.name))
        elif isinstance(node, ast.ImportFrom):
            # A relative import counts its dots from the package that holds the file.
            package = list(path.relative_to(_ROOT).parent.parts)
            package = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*package, *([node.module] if node.module else [])])
            for name in node.names:
                files.extend(_modules_on_the_way(f"{module}.{name.name}"))
    return files


def _modules_on_the_way(name: str) -> list[pathlib.Path]:
    """Returns the files that `import name` runs: the packages on the way, and the module if `name` is one."""
    parts = name.split(".")
    if parts[0] not in PROJECT_PACKAGES:
        return []
    files = []
    for length in range(1, len(parts) + 1):
        base = _ROOT.joinpath(*parts[:length])
        files.extend(path for path in (base / "__init__.py", base.parent / f"{base.name}.py") if path.is_file())
    return files
