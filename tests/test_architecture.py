"""The import directions and size limits of the project, read from the source itself."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("runner", "sandbox", "lambdas")

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 60

SMALL_MODULE_LINES = 60
MAX_SMALL_MODULES = 41

NOUNS = (
    "models",
    "errors",
    "events",
    "identity",
    "protocols",
    "clock",
    "stop",
    "retry",
    "concurrency",
    "formatting",
    "globs",
    "folders",
    "masking",
    "findings",
    "permissions",
    "row_counts",
    "reviews",
)
ORDER = (
    NOUNS,
    ("aws",),
    ("sources", "sinks"),
    ("ledger", "dromo"),
    ("config",),
    ("quota",),
    ("problems",),
    ("manifest",),
    ("packing",),
    ("stages",),
    ("local",),
    ("check", "cloud", "notify"),
    ("bulkhead",),
    ("cli",),
    ("__main__",),
)
"""The packages and root modules of `runner`, from below: each imports only what stands in a row above its own here."""
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}

MAY_START_THE_SANDBOX = {"runner.cli.embedded_sandbox", "runner.cli.commands.setup", "runner.check.sandbox_engine"}
CLOCKS = {"runner.clock", "sandbox.clock"}
READERS_OF_THE_ENVIRONMENT = {
    "runner.config.settings",
    "runner.config.child_process",
    "sandbox.child_process",
    "lambdas.environment",
}
WALL_CLOCK_READS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {module_name(path): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in paths}


@cache
def imports(name: str, *, when_loaded: bool = False) -> frozenset[str]:
    """Dotted names that a module imports; with `when_loaded` only those of its import itself."""
    found: set[str] = set()
    for node in loaded_nodes(modules()[name]) if when_loaded else ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found.update(imported(node))
    return frozenset(found)


def imported(node: ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        inner = f"{node.module}.{alias.name}"
        yield inner if inner in modules() else str(node.module)


def loaded_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes outside functions and outside `if TYPE_CHECKING:`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(child for child in ast.iter_child_nodes(node) if not is_deferred(child))


def is_deferred(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return True
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def importers_of(package: str, *, among: str) -> set[str]:
    members = (name for name in modules() if within(name, among))
    return {name for name in members if any(within(found, package) for found in imports(name))}


def test_only_the_commands_that_start_it_know_the_sandbox() -> None:
    assert importers_of("sandbox", among="runner") <= MAY_START_THE_SANDBOX
    assert importers_of("sandbox", among="lambdas") == set()


def test_the_sandbox_knows_nothing_of_the_runner() -> None:
    assert importers_of("runner", among="sandbox") == set()
    assert importers_of("lambdas", among="sandbox") == set()


@pytest.mark.parametrize(("package", "known"), [("engine", ("engine", "hooks")), ("hooks", ("hooks",))])
def test_the_engine_knows_nothing_of_the_server_and_hooks_nothing_of_the_engine(
    package: str, known: tuple[str, ...]
) -> None:
    for member in (name for name in modules() if within(name, f"sandbox.{package}")):
        ours = {found for found in imports(member) if within(found, "sandbox")}
        assert not {found for found in ours if not any(within(found, f"sandbox.{one}") for one in known)}, member


def test_the_runner_knows_nothing_of_lambda() -> None:
    assert importers_of("lambdas", among="runner") == set()


def test_only_the_command_line_imports_the_command_line_and_its_renderers() -> None:
    for package in ("runner.cli", "typer", "rich"):
        outside = {name for name in importers_of(package, among="runner") if not within(name, "runner.cli")}
        assert outside <= {"runner.__main__"}, package


def test_models_know_nothing_but_errors_and_row_counts_and_these_nothing() -> None:
    known = {"runner.errors", "runner.row_counts"}
    assert {name for name in imports("runner.models") if within(name, "runner")} == known
    assert not {found for name in known for found in imports(name) if within(found, "runner")}


def place(name: str) -> str:
    """Return the package or root module that a module of `runner` belongs to."""
    return name.split(".")[1]


def upward(name: str) -> list[str]:
    """Return what a module imports that its own package may not; `_version` is free to all."""
    own = place(name)
    others = {found for found in imports(name) if found.startswith("runner.") and place(found) not in (own, "_version")}
    if own not in RANK:
        return [f"{name}: {own} is not in ORDER"]
    return [f"{name} -> {found}" for found in sorted(others) if not below(RANK.get(place(found)), RANK[own])]


def below(rank: int | None, own: int) -> bool:
    return rank is not None and (rank < own or rank == own == 0)


def test_each_package_imports_only_packages_below_it() -> None:
    """Imports inside functions and under `if TYPE_CHECKING:` count as well."""
    members = [name for name in modules() if name.startswith("runner.") and place(name) != "_version"]
    assert not [line for name in members for line in upward(name)]


def test_every_module_of_the_runner_is_in_a_package_but_the_root_nouns() -> None:
    assert {path.stem for path in (ROOT / "runner").glob("*.py")} <= {
        *NOUNS,
        "_version",
        "bulkhead",
        "__main__",
        "__init__",
    }


def test_few_modules_are_small() -> None:
    small = [path for path in (ROOT / "runner").rglob("*.py") if line_count(path) < SMALL_MODULE_LINES]
    assert len(small) <= MAX_SMALL_MODULES


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_needs_itself_to_load(package: str) -> None:
    graph = {name: imports(name, when_loaded=True) - {name} for name in modules() if within(name, package)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_environment_is_read_in_one_place() -> None:
    names = {"os.environ", "os.getenv", "os.environb"}
    readers = {name for name, tree in modules().items() if names & attributes(tree)}
    assert readers <= READERS_OF_THE_ENVIRONMENT


def test_wall_time_is_read_by_the_clocks_alone() -> None:
    readers = {name for name, tree in modules().items() if WALL_CLOCK_READS & attributes(tree)}
    assert readers <= CLOCKS


def attributes(tree: ast.Module) -> set[str]:
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def source_files() -> list[Path]:
    return [path for folder in (*PACKAGES, "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_modules_stay_short() -> None:
    lengths = {path: line_count(path) for path in source_files()}
    assert not {str(path): length for path, length in lengths.items() if length > MAX_MODULE_LINES}


def test_functions_stay_short() -> None:
    long = {}
    for path in source_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = length
    assert not long


def test_every_module_says_what_it_owns() -> None:
    assert not {name for name, tree in modules().items() if tree.body and not ast.get_docstring(tree)}
