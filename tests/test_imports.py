"""Who may import whom, read from the source and not from what happens to be loaded."""

import ast
import graphlib
import importlib
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "skfusion"

#: Parts of the package, from the top floor down. A part may import what stands on a
#: lower floor, never its own floor or one above. A new part must be given its place.
FLOORS = [
    {"inspection", "datasets"},
    {"skfusion"},
    {"classifier", "regressor", "persistence"},
    {"estimator"},
    {"evidence"},
    {"training"},
    {"modalities", "fusion", "balance"},
    {"_defaults"},
    {"corruption", "_row_keys"},
    {"network", "batch", "_validation"},
    {"_sklearn"},
]
#: What users may import, and so what is built on the estimators may too.
PUBLIC = {
    "skfusion",
    "skfusion.balance",
    "skfusion.batch",
    "skfusion.corruption",
    "skfusion.datasets",
    "skfusion.fusion",
    "skfusion.inspection",
    "skfusion.modalities",
}
#: What has to reach deeper, and how deep: it fits the held-out stage without its parts.
EXCEPTIONS = {"held_out.py": ("skfusion.evidence",)}


class Import(NamedTuple):
    """`from module import name`, or `import module` with no name."""

    module: str
    name: str | None


def imports_of(source, package=""):
    """Imports of a file, those inside functions and for type checkers too."""
    found, open_nodes = [], [ast.parse(source)]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, ast.Import):
            found += [Import(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")
                parent = parent[: len(parent) - node.level + 1]
                base = ".".join([*parent, base]).rstrip(".")
            found += [Import(base, alias.name) for alias in node.names]
        open_nodes.extend(ast.iter_child_nodes(node))
    return found


def _module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _package_of(path):
    name = _module_name(path)
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


FILES = {_module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {
    name: imports_of(path.read_text(encoding="utf-8"), _package_of(path))
    for name, path in FILES.items()
}
OUTSIDE = [
    path
    for folder in ("examples", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def _target(found):
    """Module of the package that an import reads, or None."""
    if found.module.split(".")[0] != "skfusion":
        return None
    if found.name is not None and f"{found.module}.{found.name}" in FILES:
        return f"{found.module}.{found.name}"
    return found.module


def _edges():
    return {
        (name, target)
        for name, all_found in IMPORTS.items()
        for found in all_found
        if (target := _target(found)) is not None
    }


def _part(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _floor(module):
    for floor, parts in enumerate(FLOORS):
        if _part(module) in parts:
            return floor
    raise AssertionError(f"{module} has no place in FLOORS; see the design's arrows.")


def test_parser_finds_every_form_of_import():
    source = """
import torch.nn as nn
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import typed
else:
    import shown
def f():
    if True:
        from . import sibling
        from ..fusion.base import Fusion
class C:
    def method(self):
        import skorch
"""
    found = imports_of(source, "skfusion.modalities")
    assert set(found) == {
        Import("torch.nn", None),
        Import("typing", "TYPE_CHECKING"),
        Import("typed", None),
        Import("shown", None),
        Import("skfusion.modalities", "sibling"),
        Import("skfusion.fusion.base", "Fusion"),
        Import("skorch", None),
    }


def test_files_and_arrows_were_found():
    assert len(FILES) > 20
    assert len(_edges()) > 50
    assert len(OUTSIDE) > 1


def test_every_part_has_a_floor():
    for module in FILES:
        _floor(module)


def test_arrows_point_down():
    reversed_arrows = [
        f"{source} imports {target}"
        for source, target in sorted(_edges())
        if _part(source) != _part(target) and _floor(source) >= _floor(target)
    ]
    assert not reversed_arrows


def test_modalities_fusion_and_balance_never_import_one_another():
    apart = {"modalities", "fusion", "balance"}
    crossings = [
        (source, target)
        for source, target in _edges()
        if _part(source) in apart
        and _part(target) in apart
        and _part(source) != _part(target)
    ]
    assert not crossings


def test_no_circle():
    graph = {name: set() for name in FILES}
    for source, target in _edges():
        if target != source:
            graph[source].add(target)
    graphlib.TopologicalSorter(graph).prepare()


def _roots(part):
    """Packages that the files of a part import, itself left out."""
    return {
        found.module.split(".")[0]
        for name in _files_of(part)
        for found in IMPORTS[name]
        if not found.module.startswith(part)
    }


def _files_of(part):
    files = [name for name in FILES if name == part or name.startswith(f"{part}.")]
    assert files, f"{part} is gone"
    return files


def test_network_imports_torch_and_the_standard_library_alone():
    assert len(_files_of("skfusion.network")) >= 4
    assert _roots("skfusion.network") <= {"torch", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", ["base_models", "linear_models"])
def test_base_models_know_nothing_of_networks(name):
    roots = _roots(f"skfusion.evidence.{name}")
    assert not roots & {"torch", "skorch"}
    assert "sklearn" in roots


def test_skorch_stays_in_training_and_balance():
    using = {
        _part(name)
        for name, all_found in IMPORTS.items()
        if any(found.module.split(".")[0] == "skorch" for found in all_found)
    }
    assert using == {"training", "balance"}


def test_only_one_file_imports_private_names_of_scikit_learn():
    for name, all_found in IMPORTS.items():
        if name == "skfusion._sklearn":
            continue
        private = [
            found
            for found in all_found
            if found.module.split(".")[0] == "sklearn"
            and any(
                part.startswith("_") and not part.startswith("__")
                for part in [*found.module.split("."), found.name or ""]
            )
        ]
        assert not private, f"{name} imports {private}"


def _uses(name, all_found, own_part=None):
    """Imports of skfusion that are not public."""
    for found in all_found:
        target = _target(found)
        if target is None or (own_part and _part(target) == own_part):
            continue
        if found.module.startswith(EXCEPTIONS.get(name, ())):
            continue
        assert found.module in PUBLIC, f"{name} imports {found}"
        if found.name is not None:
            public = importlib.import_module(found.module)
            is_module = f"{found.module}.{found.name}" in PUBLIC
            assert is_module or found.name in public.__all__, f"{name} imports {found}"


@pytest.mark.parametrize("part", ["inspection", "datasets"])
def test_what_stands_on_the_estimators_uses_the_public_api(part):
    for name, all_found in IMPORTS.items():
        if _part(name) == part:
            _uses(name, all_found, own_part=part)


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_examples_and_benchmarks_use_the_public_api(path):
    _uses(path.name, imports_of(path.read_text(encoding="utf-8")))
