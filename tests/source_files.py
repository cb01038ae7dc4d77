"""What the tests of the repository's own rules read: its files and the imports in them."""

import ast
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).parent.parent
NOT_OURS = {".git", ".hypothesis", ".venv", "__pycache__", "build", "dist", "runs"}


def tracked_files() -> list[pathlib.Path]:
    """Files under version control; in a copy without its history, all but hidden and generated folders."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        files = [ROOT / name for name in listing.split("\0") if name]
    else:
        files = [
            path
            for path in ROOT.rglob("*")
            if not any(
                part in NOT_OURS or part.endswith((".egg-info", "_cache")) for part in path.relative_to(ROOT).parts
            )
            and path.suffix != ".pyc"
        ]
    return sorted(path for path in files if path.is_file())


def python_files(*folders: str) -> list[pathlib.Path]:
    """Tracked Python files, of the given top folders or of all."""
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and (not folders or path.relative_to(ROOT).parts[0] in folders)
    ]


def imported_modules(source: str, package: str = "") -> set[str]:
    """Dotted names of all that the source imports anywhere, also inside functions; relative names made absolute.

    `from a import b` gives both `a` and `a.b`, because `b` may be a module.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            names.update(
                argument.value
                for argument in node.args[:1]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            )
    return names


def imports_of(path: pathlib.Path) -> set[str]:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return imported_modules(path.read_text(encoding="utf-8"), package)


def imports_any(names: set[str], forbidden: set[str]) -> set[str]:
    """Those of the names that are a forbidden module or inside of one."""
    return {name for name in names if any(name == module or name.startswith(module + ".") for module in forbidden)}
