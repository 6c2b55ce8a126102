"""The import directions and size limits of the project, read from the source itself."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("runner", "sandbox", "lambdas")

MAX_MODULE_LINES = 450
MAX_FUNCTION_LINES = 60

MAY_START_THE_SANDBOX = {"runner.cli.embedded_sandbox", "runner.cli.commands.sandbox", "runner.cli.commands.check"}
CLOCKS = {"runner.clock", "sandbox.clock"}
READERS_OF_THE_ENVIRONMENT = {"runner.config.settings", "lambdas.environment"}
STAGES = ("submit", "upload", "track", "collect", "discover", "doubts", "feed", "sinks", "listing", "rated", "moves")
ABOVE_THE_STAGES = ("pipeline", "bulkhead", "settings", "cli", "recovery")
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


def test_models_know_nothing_but_errors_and_errors_nothing() -> None:
    assert {name for name in imports("runner.models") if within(name, "runner")} == {"runner.errors"}
    assert not {name for name in imports("runner.errors") if within(name, "runner")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_knows_nothing_of_what_drives_it(stage: str) -> None:
    name = f"runner.{stage}"
    above = {f"runner.{one}" for one in ABOVE_THE_STAGES}
    members = [member for member in modules() if within(member, name)]
    assert members, f"{name} is gone: take it out of STAGES"
    for member in members:
        assert not {found for found in imports(member) if any(within(found, one) for one in above)}


def test_stores_decide_nothing_of_the_run() -> None:
    below = ("ledger", "models", "errors", "ports", "clock", "aws_client", "aws_errors")
    allowed = {f"runner.{one}" for one in below}
    for member in (name for name in modules() if within(name, "runner.ledger")):
        ours = {found for found in imports(member) if within(found, "runner") and found != "runner"}
        assert not {found for found in ours if not any(within(found, one) for one in allowed)}, member


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


def source_files() -> list[Path]:
    return [path for folder in (*PACKAGES, "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_modules_stay_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in source_files()}
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
