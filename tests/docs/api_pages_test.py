import ast

import hfmnas_keras
from scripts.api_pages import api_modules, public_names
from tests.source_files import ROOT, python_files


def test_each_public_name_has_its_page():
    pages, without = set(api_modules()), []
    for path in python_files("hfmnas_keras"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.iter_child_nodes(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "name", "_")
            if not name.startswith("_") and module not in pages:
                without.append(f"{module}.{name}")
    assert without == []


def test_the_names_at_the_top_are_listed_with_their_pages():
    names = public_names()
    assert set(names) == set(hfmnas_keras.__all__) - {"__version__"}
    assert set(names.values()) <= set(api_modules())
