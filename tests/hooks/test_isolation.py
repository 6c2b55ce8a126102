"""Hostile hooks: each ends in time, with the right reason, and reaches nothing outside."""

import os
import pickle
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sandbox.hooks import HookFailed, HookLimits
from tests.support.hooks import SHORT, batch, row_changes, row_failure, start, texts

ROW = [("Ada", "")]
TOLD = "return {row: {name: {value: String(%s)}}};"


def told(expression: str, *, limits: HookLimits = SHORT) -> str:
    """What an expression inside an async hook comes to, as text."""
    source = f"async () => {{ {TOLD % expression} }}"
    return texts(row_changes(source, ROW, limits=limits))["name"][0]


@pytest.mark.parametrize(
    "source",
    [
        "() => { while (true); }",
        "async () => { while (true); }",
        "async () => { for (;;) await null; }",
        "() => { const again = () => Promise.resolve().then(again); return again(); }",
        "() => { const again = () => queueMicrotask(again); again(); }",
        "() => /^(a+)+$/.test('a'.repeat(40) + 'b')",
        "() => new Promise(() => { setInterval(() => {}, 10); })",
        "() => ({row: {get name() { while (true); }}})",
        "() => { throw {get message() { while (true); }} }",
    ],
)
def test_a_hook_that_never_ends_is_stopped_at_the_limit(source: str) -> None:
    started = time.monotonic()
    failure = row_failure(source, limits=HookLimits(call_s=0.6, heap_bytes=256 << 20))
    assert str(failure) == "rowHooks[0] ran longer than the 0.6 seconds allowed for a call."
    assert failure.reason == "time"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("source", ["() => new Promise(() => {})", "async () => { await {then() {}}; }"])
def test_a_promise_that_nothing_can_settle_fails_at_once(source: str) -> None:
    failure = row_failure(source, limits=HookLimits())
    assert str(failure) == "rowHooks[0] awaits a promise that nothing will ever settle."


def test_a_hook_that_never_ends_when_it_is_read_is_stopped() -> None:
    with pytest.raises(HookFailed, match="ran longer than"):
        start({"rowHooks": ["(() => { while (true); })()"]}, limits=HookLimits(call_s=0.6))


def test_the_limit_of_a_call_is_for_one_row_and_not_for_a_thousand() -> None:
    source = "async () => { await new Promise((done) => setTimeout(done, 300)); }"
    assert row_changes(source, ROW * 4, limits=HookLimits(call_s=0.9)).columns == []


def test_all_calls_of_an_import_together_have_a_limit() -> None:
    source = "async () => { await new Promise((done) => setTimeout(done, 300)); }"
    failure = row_failure(source, limits=HookLimits(import_s=1.0), rows=ROW * 20)
    assert str(failure) == "rowHooks[0] ran when the 1 seconds for the import's hooks were over."
    assert failure.reason == "time"


def test_a_heap_bomb_fails_for_memory() -> None:
    source = "() => { const all = []; for (;;) all.push({n: all.length, text: 'x'.repeat(9) + all.length}); }"
    failure = row_failure(source, limits=HookLimits(heap_bytes=96 << 20))
    assert str(failure) == "rowHooks[0] used more memory than the 96 MiB allowed."


@pytest.mark.parametrize(
    "source",
    [
        "() => { const all = []; for (;;) all.push(new ArrayBuffer(1 << 26)); }",
        "() => { const all = []; for (;;) all.push(new Uint8Array(1 << 26).fill(1)); }",
        "() => { let text = 'x'; for (;;) text += text; }",
    ],
)
def test_a_bomb_outside_the_heap_fails_too(source: str) -> None:
    failure = row_failure(source, limits=HookLimits(call_s=20, heap_bytes=96 << 20))
    assert failure.reason in {"memory", "threw"}


@pytest.mark.parametrize(
    "value",
    ["'x'.repeat(3 << 20)", "Array(100000).fill('x'.repeat(64))"],
)
def test_a_huge_return_fails_for_its_size(value: str) -> None:
    limits = HookLimits(reply_max_bytes=1 << 20, heap_bytes=128 << 20)
    failure = row_failure(f"() => ({{row: {{name: {{value: {value}}}}}}})", limits=limits)
    assert str(failure) == "rowHooks[0] returned more than may be sent back."


@pytest.mark.parametrize(
    "expression",
    [
        "typeof Deno",
        "typeof Worker",
        "typeof localStorage",
        "typeof caches",
        "typeof prompt",
        "typeof alert",
        "typeof close",
        "typeof window",
        "typeof require",
    ],
)
def test_what_could_reach_outside_is_not_there(expression: str) -> None:
    assert told(expression) == "undefined"


@pytest.mark.parametrize(
    "expression",
    [
        "Deno.readFile('/etc/hostname')",
        "await import('node:fs').then((fs) => fs.readFileSync('/etc/hostname', 'utf8'))",
        "await import('node:fs').then((fs) => fs.writeFileSync('/tmp/hook', 'x'))",
        "await import('node:child_process').then((c) => c.execSync('id'))",
        "await import('node:process').then((p) => p.env.PATH)",
        "await import('node:os').then((os) => os.hostname())",
        "await import('node:net').then((net) => new Promise((yes, no) => net.connect(9, '127.0.0.1').on('error', no)))",
        "await import('node:worker_threads').then((w) => new w.Worker('/etc/hostname'))",
        "await import('node:process').then((p) => p.stdout.write('garbage'))",
        "await import('file:///etc/hostname')",
        "await import('https://127.0.0.1/x.mjs')",
        "await import('npm:left-pad')",
        "await fetch('http://127.0.0.1:7777/')",
        "await fetch('file:///etc/hostname').then((r) => r.text())",
        "await new Promise((yes, no) => { new WebSocket('ws://127.0.0.1:9').onerror = no; })",
        "process.exit(0)",
    ],
)
def test_files_processes_environment_and_network_are_refused(expression: str) -> None:
    failure = row_failure(f"async () => {{ {TOLD % expression} }}", limits=HookLimits(call_s=5))
    assert failure.reason == "threw"
    assert "--allow" not in str(failure)


BY_TEXT = "'return im' + 'port(\"./frames.mjs\")'"


@pytest.mark.parametrize(
    "expression",
    [
        "await import('./frames.mjs').then((frames) => Object.keys(frames))",
        "await import(new URL('./driver/frames.mjs', 'file:///x/'))",
        "await import('data:text/javascript,export default 1')",
        "await import(URL.createObjectURL(new Blob(['export default 1'], {type: 'text/javascript'})))",
        "await import('node:os').then((os) => os.EOL)",
        "await import('node:fs').then((fs) => fs.writeSync(1, 'garbage'))",
        "await import('jsr:@std/assert')",
        "await import/* a comment */('node:os')",
        "await (`${await import('node:os')}`)",
        "await import('node:os', {with: {type: 'json'}})",
        "await import.source('./x.wasm')",
        "await eval('im' + 'port(\"node:os\")')",
        "await (0, eval)('im' + 'port(\"node:os\")')",
        f"await new Function({BY_TEXT})()",
        f"await Function({BY_TEXT})()",
        f"await new Function({{toString: () => {BY_TEXT}}})()",
        f"await (() => {{}}).constructor({BY_TEXT})()",
        f"await (async () => {{}}).constructor({BY_TEXT})()",
        f"await (function* () {{}}).constructor({BY_TEXT})().next().value",
        f"await (async function* () {{}}).constructor({BY_TEXT})().next()",
        f"await Reflect.construct(Function, [{BY_TEXT}], Array)",
        f"await new (class extends Function {{}})({BY_TEXT})()",
        f"await Object.getOwnPropertyDescriptor(Function.prototype, 'constructor').value({BY_TEXT})()",
        f"setTimeout({BY_TEXT})",
        f"setInterval({{toString: () => {BY_TEXT}}})",
    ],
)
def test_no_import_gives_a_hook_a_module(expression: str) -> None:
    failure = row_failure(f"async () => {{ {TOLD % expression} }}", limits=HookLimits(call_s=5))
    assert failure.reason == "threw"
    assert "--allow" not in str(failure)


def test_a_refused_import_says_so() -> None:
    failure = row_failure("() => import('./frames.mjs')")
    assert str(failure) == "rowHooks[0] threw an error: Hooks may not do this here: load a module."


def test_a_hook_that_runs_an_import_while_it_is_read_loads_nothing() -> None:
    with pytest.raises(HookFailed, match=r"does not compile|may not do this here"):
        start({"rowHooks": ["(import('node:fs').then((fs) => { globalThis.fs = fs; }), () => {})"]})


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("'please import (this), or import.meta'", "please import (this), or import.meta"),
        ("`import ${1}`", "import 1"),
        ("/^import\\b/.test('import (x)')", "true"),
        ("({import: 1, $import: 2}).import", "1"),
        ("(() => { const reimported = 5; return reimported; /* import(x) */ })()", "5"),
        ("await import('x').catch(() => 'import')", "import"),
        ("eval('\"import(1)\"')", "import(1)"),
        ("new Function('a', 'b', 'return a + b')(1, 2)", "3"),
        ("(() => {}) instanceof Function && Function.prototype.constructor === Function", "true"),
        ("await new Promise((done) => setTimeout(done, 1, 'later'))", "later"),
    ],
)
def test_the_word_import_and_texts_that_are_code_work_otherwise(expression: str, text: str) -> None:
    assert told(expression) == text


def test_a_refusal_says_that_it_is_one() -> None:
    failure = row_failure("() => fetch('http://127.0.0.1:7777/x')")
    assert str(failure).startswith(
        'rowHooks[0] threw an error: Hooks may not do this here: Requires net access to "127'
    )


def test_a_hook_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_LICENSE_KEY", "secret")
    assert told("JSON.stringify(process.env)") == "{}"


class Greeting(BaseHTTPRequestHandler):
    """Answers every GET with a greeting."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Greeting) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_host_that_the_operator_lists_can_be_fetched_from_and_no_other(port: int) -> None:
    limits = HookLimits(call_s=10, allow_hosts=(f"127.0.0.1:{port}",))
    fetched = "await fetch('http://127.0.0.1:%d/').then((answer) => answer.text())"
    assert told(fetched % port, limits=limits) == "hello"
    failure = row_failure(f"async () => {{ {TOLD % (fetched % (port - 1))} }}", limits=limits)
    assert "Hooks may not do this here" in str(failure)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("new Intl.NumberFormat('de-DE').format(1234.5)", "1.234,5"),
        ("(1234.5).toLocaleString()", "1,234.5"),
        ("new Date(0).toLocaleString('en-US')", "1/1/1970, 12:00:00 AM"),
        ("new URL('HTTP://X.io').href", "http://x.io/"),
        ("Buffer.from('a').toString('hex')", "61"),
        ("structuredClone({a: [1]}).a[0]", "1"),
        ("await crypto.subtle.digest('SHA-1', new Uint8Array()).then((b) => b.byteLength)", "20"),
        ("await new Promise((done) => process.nextTick(done, 7))", "7"),
        ("typeof fetch + typeof setTimeout + typeof global", "functionfunctionobject"),
    ],
)
def test_what_hooks_find_in_node_is_there(expression: str, text: str) -> None:
    assert told(expression) == text


@pytest.mark.parametrize("host", ["", "*", "a b", "x.io,y.io", "--allow-read", "https://x.io", "10.0.0.0/8"])
def test_only_plain_hosts_can_be_listed(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        HookLimits(allow_hosts=(host,))


def test_a_console_flood_is_cut_and_disturbs_nothing() -> None:
    source = """(record) => {
        for (let at = 0; at < 200000; at++) console.log('line', at, {of: record});
        process.stdout.write('more');
        return {row: {name: {value: 'done'}}};
    }"""
    with start({"rowHooks": [source]}, limits=HookLimits(console_max_bytes=1000)) as runner:
        [(_, changes)] = runner.rows(runner.hooks.row[0], batch(ROW))
    assert texts(changes) == {"name": {0: "done"}}
    assert runner.console.startswith("line 0 {")
    assert len(runner.console) <= 1000


def test_the_console_is_kept_apart_from_the_answers() -> None:
    source = "(r) => { console.log('seen %s', r.row.name.value); console.error(new Map([[1, 2]])); }"
    with start({"rowHooks": [source]}) as runner:
        [(_, changes)] = runner.rows(runner.hooks.row[0], batch(ROW))
    assert changes.columns == []
    assert runner.console == "seen %s Ada\nMap(1) { 1 => 2 }\n"


@pytest.mark.parametrize(
    "pollution",
    [
        "Object.prototype.value = 'x'; Object.prototype.info = 5;",
        "Array.prototype.push = Array.prototype.map = () => { throw 1 };",
        "JSON.stringify = () => 'broken'; JSON.parse = () => 'broken';",
        "Uint8Array.prototype.subarray = TextEncoder.prototype.encode = TextDecoder.prototype.decode = null;",
        "globalThis.setImmediate = globalThis.performance = globalThis.Promise = null;",
        "Function.prototype.call = Function.prototype.bind = null;",
        "Date.prototype.toISOString = String.prototype.slice = null;",
    ],
)
def test_tampering_with_built_ins_does_not_break_the_driver(pollution: str) -> None:
    source = f"(r) => {{ {pollution} return {{row: {{name: {{value: 'through', info: []}}}}}}; }}"
    changes = row_changes(source, ROW * 2, limits=SHORT)
    assert texts(changes) == {"name": {0: "through", 1: "through"}}


def test_tampering_stays_inside_its_import() -> None:
    row_changes("() => { Object.prototype.polluted = 'yes'; }", ROW)
    assert told("({}).polluted") == "undefined"


@pytest.mark.parametrize(
    "source",
    ["() => { Array.prototype[Symbol.iterator] = null; }", "() => { Object.prototype.then = () => {}; }"],
)
def test_tampering_that_does_break_the_driver_fails_only_its_import(source: str) -> None:
    assert row_failure(source).reason == "shape"


def test_deep_recursion_is_an_ordinary_error() -> None:
    failure = row_failure("() => { const deeper = () => deeper() + 1; return deeper(); }")
    assert str(failure) == "rowHooks[0] threw an error: RangeError: Maximum call stack size exceeded"


def test_an_error_text_is_cut() -> None:
    assert len(str(row_failure("() => { throw new Error('x'.repeat(1e6)) }"))) < 2100


def test_a_failure_survives_the_way_out_of_a_worker_process() -> None:
    failure = pickle.loads(pickle.dumps(HookFailed("rowHooks[0]", "threw an error: x", reason="threw")))
    assert (str(failure), failure.path, failure.reason) == ("rowHooks[0] threw an error: x", "rowHooks[0]", "threw")


def test_closing_ends_the_process_and_leaves_nothing_on_disk() -> None:
    with start({"rowHooks": ["() => {}"]}) as runner:
        process = runner._process._process
        directory = Path(runner._process._directory.name)
        assert directory.exists()
    assert process.returncode is not None
    assert not directory.exists()
    runner.close()


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="sessions are POSIX")
def test_the_process_has_a_session_of_its_own() -> None:
    with start({"rowHooks": ["() => {}"]}) as runner:
        pid = runner._process._process.pid
        assert os.getsid(pid) == pid
