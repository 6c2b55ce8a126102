"""What help pages add to each command: the section that lists it, an example, and the page of the documentation."""

from __future__ import annotations

SECTIONS = {
    "Start here": ("init", "plan", "check", "run", "sandbox"),
    "Reviews and failures": ("track", "reviews", "dismiss", "resume", "redrive", "reconcile"),
    "Look at batches": ("status", "batches", "manifest", "report", "explain"),
    "Setup": ("doctor", "config", "ledger"),
    "On AWS": ("cloud", "webhook-url"),
}
"""The commands and groups in the order in which `bulkhead --help` lists them."""

EXAMPLES = {
    "init": ("bulkhead init", "docs/quickstart.md"),
    "run": ("bulkhead run data/inbox --schema-id ID", "docs/quickstart.md"),
    "resume": ("bulkhead resume", "docs/operations.md"),
    "track": ("bulkhead track --watch", "docs/review.md"),
    "reviews": ("bulkhead reviews", "docs/review.md"),
    "dismiss": ("bulkhead dismiss BATCH --match 'old/*' --reason 'replaced'", "docs/operations.md"),
    "plan": ("bulkhead plan data/inbox --schema-id ID", "docs/quickstart.md"),
    "check": ("bulkhead check data/inbox --fields fields.json", "docs/check.md"),
    "explain": ("bulkhead explain data/inbox/july.csv", "docs/configuration.md"),
    "status": ("bulkhead status", "docs/operations.md"),
    "batches": ("bulkhead batches", "docs/operations.md"),
    "manifest": ("bulkhead manifest --format csv", "docs/manifest.md"),
    "report": ("bulkhead report", "docs/manifest.md"),
    "redrive": ("bulkhead redrive BATCH --state uncertain", "docs/operations.md"),
    "reconcile": ("bulkhead reconcile BATCH --fix", "docs/operations.md"),
    "doctor": ("bulkhead doctor", "docs/operations.md"),
    "config": ("bulkhead config", "docs/configuration.md"),
    "ledger copy": ("bulkhead ledger copy .bulkhead/ledger.db copy.db", "docs/operations.md"),
    "ledger create-table": ("bulkhead ledger create-table TABLE", "docs/configuration.md"),
    "cloud start": ("bulkhead cloud start s3://bucket/inbox/", "docs/cloud-operations.md"),
    "cloud status": ("bulkhead cloud status BATCH", "docs/cloud-operations.md"),
    "cloud manifest": ("bulkhead cloud manifest BATCH", "docs/cloud-operations.md"),
    "cloud redrive": ("bulkhead cloud redrive --dead-letters", "docs/cloud-operations.md"),
    "cloud reviews": ("bulkhead cloud reviews", "docs/cloud-operations.md"),
    "cloud dismiss": ("bulkhead cloud dismiss BATCH --match 'old/*' --reason 'replaced'", "docs/cloud-operations.md"),
    "cloud work": ("bulkhead cloud work --stack bulkhead", "docs/container.md"),
    "cloud doctor": ("bulkhead cloud doctor", "docs/cloud-operations.md"),
    "webhook-url": ("bulkhead webhook-url --stack bulkhead", "docs/deploying.md"),
    "sandbox": ("bulkhead sandbox --schemas examples/schemas/saved", "docs/sandbox.md"),
}
"""(example, page) by the name of a command."""
