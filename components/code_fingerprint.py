"""A fingerprint of our own code, for execution properties.

TFX serves a stage from its cache when inputs and execution properties are unchanged. Code named by import path is
neither, so each component puts the fingerprint of the code it runs, which its executor names as `CODE`, among its
properties, and the executor sees that this is the code that it runs.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hfmnas_keras.plugins import plugins_in_use, use_plugins

#: Name of the execution property.
CODE_FINGERPRINT = "code_fingerprint"
PROJECT_PACKAGES = ("hfmnas_keras", "components", "schemas")
_ROOT = pathlib.Path(__file__).resolve().parent.parent


def code_fingerprint(*modules: str) -> str:
    """Returns a digest of modules and of all project code they import, directly or not, and of the plugins in use.

    Following the imports keeps a long search in the cache when, say, only the export has changed. Of Python it is the
    syntax tree that counts, without docstrings: a comment or a line break changes nothing.

    Args:
        *modules: str. Dotted names of modules or packages below `hfmnas_keras`, `components` or `schemas`. A package
            stands for every file below it, data files included.

    Returns:
        str. 16 hexadecimal digits, and after a `+` each the names of the plugins. Equal code gives equal digits on
        every machine and in every folder. Of a plugin every file counts that is in its package.

    Raises:
        ValueError: when no module is named, or one does not exist in the project's packages.
    """
    if not modules:
        raise ValueError("`code_fingerprint` needs at least one module. Name the ones that do the stage's work.")
    plugins = plugins_in_use()
    return "+".join([_digest(modules, plugins), *plugins])


def check_code(exec_properties: Mapping[str, Any], modules: tuple[str, ...]) -> None:
    """Sees that a stage runs the code with which its pipeline was made, and imports that pipeline's plugins.

    Args:
        exec_properties: the executor's; without a fingerprint nothing is compared.
        modules: as of `code_fingerprint`.

    Raises:
        RuntimeError: when it is other code, as in a container image built before a change.
        ValueError: when a plugin cannot be imported.
    """
    compiled = exec_properties.get(CODE_FINGERPRINT)
    if compiled:
        use_plugins(compiled.split("+")[1:])
    if compiled and compiled != (own := code_fingerprint(*modules)):
        raise RuntimeError(
            f"The pipeline was made with other code of {', '.join(modules)} than is installed here. Received the "
            f"fingerprint {compiled}, the code here has {own}. Build the image from the code that makes the pipeline, "
            "or make the pipeline anew."
        )


@functools.cache
def _digest(modules: tuple[str, ...], plugins: tuple[str, ...]) -> str:
    files = {path.relative_to(_ROOT).as_posix(): path for path in _files_with_imports(modules)}
    for plugin in plugins:
        files.update(_files_of_plugin(plugin))
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode() + b"\0")
        digest.update(_look(path)[0])
    return digest.hexdigest()[:16]


def _files_of_plugin(plugin: str) -> dict[str, pathlib.Path]:
    """The files of a module, or of a package and all below it, by a name that is the same on every machine."""
    spec = importlib.util.find_spec(plugin)
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        raise ValueError(f"There is no module {plugin!r} on Python's path, which `plugins` name.")
    if not spec.submodule_search_locations:
        return {f"{plugin}.py": pathlib.Path(spec.origin or "")}
    return {
        f"{plugin}/{path.relative_to(folder).as_posix()}": path
        for folder in spec.submodule_search_locations
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _files_with_imports(modules: tuple[str, ...]) -> set[pathlib.Path]:
    pending = [path for module in modules for path in _files_of(module)]
    seen: set[pathlib.Path] = set()
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending.extend(_look(path)[1])
    return seen


def _look(path: pathlib.Path) -> tuple[bytes, list[pathlib.Path]]:
    """Digest of what counts of a file, and the files that it imports."""
    return _read(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.cache
def _read(path: pathlib.Path, *state: int) -> tuple[bytes, list[pathlib.Path]]:
    del state
    content, imported = path.read_bytes(), []
    if path.suffix == ".py":
        tree = ast.parse(content, filename=str(path))
        content = _outline(tree).encode()
        if path.is_relative_to(_ROOT):
            imported = _imported_files(path, tree)
    elif path.suffix == ".jinja":
        content = re.sub(rb"{#.*?#}", b"", content, flags=re.DOTALL).rstrip()
    return hashlib.sha256(content).digest(), imported


def _outline(node: Any) -> str:
    """A syntax tree as text that is the same in all versions of Python: what is empty, or new and empty, is left out.

    A string that stands alone does nothing; it is a docstring.
    """
    if isinstance(node, list):
        lines = (item for item in node if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)))
        return f"[{','.join(_outline(item) for item in lines)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    return f"{type(node).__name__}({','.join(f'{name}={_outline(value)}' for name, value in fields)})"


def _files_of(module: str) -> list[pathlib.Path]:
    base = _ROOT.joinpath(*module.split("."))
    if module.split(".")[0] in PROJECT_PACKAGES:
        if base.with_suffix(".py").is_file():
            return _modules_on_the_way(module)
        if base.is_dir():
            return [*_modules_on_the_way(module)] + [
                path for path in base.rglob("*") if path.is_file() and "__pycache__" not in path.parts
            ]
    raise ValueError(f"`code_fingerprint` knows modules below {PROJECT_PACKAGES}. Received: {module!r}.")


def _imported_files(path: pathlib.Path, tree: ast.Module) -> list[pathlib.Path]:
    files = []
    for node in _statements(tree):
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


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements, those inside others too; ten times as fast as a walk over their expressions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield child
            yield from _statements(child)


def _modules_on_the_way(name: str) -> list[pathlib.Path]:
    """Returns the files that `import name` runs: the packages on the way, and the module if `name` is one."""
    parts = name.split(".")
    if parts[0] not in PROJECT_PACKAGES:
        return []
    files: list[pathlib.Path] = []
    for length in range(1, len(parts) + 1):
        base = _ROOT.joinpath(*parts[:length])
        files.extend(path for path in (base / "__init__.py", base.parent / f"{base.name}.py") if path.is_file())
    return files
