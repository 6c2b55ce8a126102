"""The hooks of a schema, run in a Deno process without permissions.

Owns the process, its limits, its protocol, and the rows on their way through data hooks. Imports nothing from the rest
of the sandbox.

Terms:
    driver: the JavaScript program in Deno that runs hooks; `driver/main.mjs`.
    wire: the JSON that goes to and from the driver.
    orders: what hooks ask of the import through their `instance`.
    page: some thousand rows as columns; pages beyond memory are on disk.
    data hook: a column hook, a bulk row hook, or a row hook.
"""

from sandbox.hooks.cells import Batch, Changes, HookColumn, Message, row_id
from sandbox.hooks.deno import HookLimits, find_deno
from sandbox.hooks.errors import HookFailed, HooksUnavailable
from sandbox.hooks.hook_runner import Finish, HookRunner, hook_problems
from sandbox.hooks.orders import AddedCell, AddedField, AddedRow, CellMessage, Orders
from sandbox.hooks.pages import CellColumn, Page, PageColumn, Pages
from sandbox.hooks.sources import Hooks
from sandbox.hooks.stage import HookStage
from sandbox.hooks.wire import TooDeep, shallow

__all__ = [
    "AddedCell",
    "AddedField",
    "AddedRow",
    "Batch",
    "CellColumn",
    "CellMessage",
    "Changes",
    "Finish",
    "HookColumn",
    "HookFailed",
    "HookLimits",
    "HookRunner",
    "HookStage",
    "Hooks",
    "HooksUnavailable",
    "Message",
    "Orders",
    "Page",
    "PageColumn",
    "Pages",
    "TooDeep",
    "find_deno",
    "hook_problems",
    "row_id",
    "shallow",
]
