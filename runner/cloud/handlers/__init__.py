"""One module for each queue message or event: register, submit, upload, list, sweep, collect, finish, and
configure.

Owns the entry points that `lambdas/` calls with a decoded message; each returns an `Outcome`, and what it raises makes
the message come back. May import the rest of `runner.cloud` except `runner.cloud.ops`.
"""
