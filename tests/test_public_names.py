"""A public name has one home in the package, and one meaning."""

import ast
from collections import defaultdict
from pathlib import Path

import lightning_grok

PACKAGE = Path(lightning_grok.__file__).parent
ENTRY = "main"  # of every command


def names_defined(module: ast.Module) -> set[str]:
    """Public classes, functions, constants and types that a module defines itself."""
    defined = set()
    for node in module.body:
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                defined.add(node.name)
            case ast.Assign():
                defined |= {each.id for each in node.targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name() as target):
                defined.add(target.id)
    return {name for name in defined if not name.startswith("_")}


def test_a_public_name_is_defined_once():
    homes = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for name in names_defined(ast.parse(file.read_text(encoding="utf-8"))):
            homes[name].append(str(file.relative_to(PACKAGE)))
    assert len(homes) > 700
    several = {name: files for name, files in homes.items() if len(files) > 1 and name != ENTRY}
    assert several == {}
