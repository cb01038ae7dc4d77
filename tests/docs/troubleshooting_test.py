import ast
import re

from tests.docs.pages import pages
from tests.source_files import ROOT, python_files


def text_of(node: ast.AST) -> str | None:
    """A string of the source, with a zero byte for what is put into it."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(value) or "\0" for value in node.values)
    if isinstance(node, ast.BinOp):
        return (text_of(node.left) or "\0") + (text_of(node.right) or "\0")
    return None


def messages_of_the_program() -> list[str]:
    set_up = (ROOT / "scripts/set_up.sh").read_text(encoding="utf-8")
    strings = [
        text
        for path in python_files("hfmnas_keras", "components", "pipeline")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (text := text_of(node))
    ]
    return [re.sub(r'"\s*\\\n\s*"', " ", set_up), *strings]


def test_the_messages_are_those_that_the_program_has():
    said = re.findall(r"^\| `([^`]+)`", pages()["docs/troubleshooting.md"], re.MULTILINE)
    patterns = {one: ".*".join(re.escape(part.strip()) for part in one.split("...")) for one in said}
    strings = messages_of_the_program()
    unknown = [
        one for one, pattern in patterns.items() if not any(re.search(pattern, text, re.DOTALL) for text in strings)
    ]
    assert len(said) > 20
    assert not unknown, f"docs/troubleshooting.md has messages that the program no longer gives: {unknown}"
