"""What packages may use of each other: the names that `__all__` of a package lists, each a module of it or what its
`__init__` imports. Inside a package everything may be used, and tests may reach anywhere.

Source text in, problems out, as in `tidy.py`, which asks.
"""

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

LAYERED = "raftdb"
"""The folder whose folders are packages of their own; its single modules are open to all."""

REACHES_IN = ("raftdb/simulation/broken_rules.py",)
"""What replaces rules inside of a package, to break them, reaches into it."""


class Import(NamedTuple):
    """A name that a module takes from a package: `name` is what `__all__` has to list."""

    where: str
    by: str
    package: str
    name: str


def package_of(module: str) -> str:
    """The package that a module belongs to; a single module of `raftdb` is one of its own."""
    return ".".join(module.split(".")[: 2 if module.startswith(f"{LAYERED}.") else 1])


def module_of(path: str) -> str:
    """The dotted name of the module at `path`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def past_the_surface(texts: Mapping[str, str], users: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Where something is used that its package does not list, and what is listed that nobody uses, each with words.

    `texts`: the modules of the product by path; `users`: those of programs beside it, which may use the same.
    """
    surfaces = {}
    for path, text in texts.items():
        module = module_of(path)
        if path.endswith("/__init__.py") and module == package_of(module) != LAYERED:
            surfaces[module] = surface_of(text)
    taken = [one for path, text in {**texts, **users}.items() for one in imports_of(path, text)]
    for one in taken:
        if one.where.partition(":")[0] in REACHES_IN:
            continue
        if one.name not in surfaces.get(one.package, (one.name,)):
            yield one.where, f"{one.package} does not list {one.name} in __all__"
    used = {(one.package, one.name) for one in taken}
    for package, names in surfaces.items():
        for name in names:
            if (package, name) not in used:
                yield f"{package.replace('.', '/')}/__init__.py", f"no other package uses {name} of __all__"


def surface_of(text: str) -> tuple[str, ...]:
    """What the `__all__` of a package lists; nothing if it has none."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return tuple(ast.literal_eval(node.value))
    return ()


def imports_of(path: str, text: str) -> Iterator[Import]:
    """What a module takes from other packages."""
    own = package_of(module_of(path))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package = package_of(name)
            # Of a module that is listed all may be used, so the first step into the package decides.
            rest = name.removeprefix(package).removeprefix(".")
            if package != own and rest:
                yield Import(f"{path}:{node.lineno}", own, package, rest.partition(".")[0])
