"""Hooks of a schema, run in a Deno process without permissions. No HTTP here."""

from sandbox.hooks.cells import Batch, Changes, HookColumn, Message, row_id
from sandbox.hooks.deno import HookLimits, find_deno
from sandbox.hooks.errors import HookFailed, HooksUnavailable
from sandbox.hooks.hook_runner import Finish, HookRunner, hook_problems
from sandbox.hooks.orders import AddedCell, AddedField, AddedRow, CellMessage, Orders
from sandbox.hooks.pages import CellColumn, Page, PageColumn, Pages
from sandbox.hooks.sources import Hooks
from sandbox.hooks.stage import HookStage

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
    "find_deno",
    "hook_problems",
    "row_id",
]
