"""The vendor's Headless API on a local port, with a real import engine.

Owns everything that answers like the vendor: the API, the storage behind presigned URLs, webhooks, the review, and the
import engine. Imports nothing from `runner`; the packages below it are `engine`, `hooks`, and `review`.

Terms:
    state: the account as a state machine without a socket or a clock (`run_state`, `storage_state`, `api_state`).
    context: what the routes of one server share: state, clock, faults, webhooks, and journal.
    run: one pass of the engine over an import's data; a job is what a run needs.
    worker: a process that does runs, so that an import that crashes or exceeds a limit affects no other.
    journal: records every change of the account; the archive is the journal in a SQLite file.
    fault: scripted misbehavior of one operation.
    control plane: the routes under `/_sandbox/`, which the vendor does not have.
"""
