"""A hook of mkdocs: a page for each module of `hfmnas_keras` that has a public name, made of its docstrings."""

from __future__ import annotations

import ast
import pathlib
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "hfmnas_keras"


def on_config(config: Any) -> Any:
    """Puts the pages at the end of the navigation, a section for each room of the package."""
    rooms: dict[str, list[dict[str, str]]] = {}
    for module in api_modules():
        room, _, rest = module.removeprefix(f"{PACKAGE}.").partition(".")
        rooms.setdefault(room if rest else PACKAGE, []).append({(rest or room).replace(".", " / "): _page(module)})
    config.nav = [*config.nav, {"API": [{room: pages} for room, pages in sorted(rooms.items())]}]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages themselves."""
    from mkdocs.structure.files import File

    for module in api_modules():
        content = f"# {module}\n\n::: {module}\n    options:\n      show_root_heading: false\n"
        if module == PACKAGE:
            names = sorted(public_names().items())
            content += "".join(f"\n- [`{name}`]({_page(of)[4:]})" for name, of in names)
        files.append(File.generated(config, _page(module), content=content))
    return files


def api_modules() -> list[str]:
    """Dotted names of the modules that define a public class or function, or an `__all__`."""
    modules = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        if any(_is_public(statement) for statement in ast.parse(path.read_text(encoding="utf-8")).body):
            parts = path.relative_to(ROOT).with_suffix("").parts
            modules.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return modules


def public_names() -> dict[str, str]:
    """The names at the top of the package, with the modules that define them."""
    for statement in ast.parse((ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_MODULES":
            return {name: f"{PACKAGE}.{module}" for name, module in ast.literal_eval(statement.value).items()}
    raise ValueError(f"{PACKAGE}/__init__.py has no `_MODULES`.")


def _page(module: str) -> str:
    return f"api/{module.removeprefix(PACKAGE).lstrip('.').replace('.', '/') or 'index'}.md"


def _is_public(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        return not statement.name.startswith("_")
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets
    )
