"""The `bulkhead` command: reads options, calls the library, and shows what it returns. It holds no logic of a batch.

It may import every other package of `runner`; nothing imports it. Heavy imports are inside functions, so that help
pages and `--version` appear immediately.

- command: a function of one parameter, its arguments; `commands` has them, `app` the tree.
- option group: options that belong together, each declared once (in `option_groups`, with the types in `options`).
- arguments: what one command takes, combined from groups (`arguments`).
- session: the settings and the open resources of a command that shows one result (`query`).
- summary: what a run shows at its end (`summary`); triage: the items in it that need a person (`triage`).
"""
