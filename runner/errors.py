"""Every error of Bulkhead.

BulkheadError
├── TransientError                may succeed if repeated
│   ├── NotSent                   the request never left, or the server cannot have acted on it
│   │   └── VendorAway            the vendor does not answer, so the functions of a stack do not call it
│   ├── OutcomeUnknown            the request may have taken effect: a create or an upload without a usable answer
│   ├── Unavailable               a read was not answered, answered 5xx, or the answer was cut or malformed
│   │   ├── FileUnavailable       an input cannot be read, or a result cannot be written, at the moment
│   │   └── ListUnusable          the list of imports contradicts itself, does not end, or is not whole
│   ├── RateLimited               429; `retry_after_s` is None if the vendor did not say
│   ├── UrlExpired                a presigned url has expired; ask for a new one
│   ├── Stopped                   a read was not made, or not to its end, because the run stops
│   ├── DuplicatePending          the same content is being sent as another item, which may yet fail
│   ├── NotYet                    an item cannot continue now; `wait_s` says when to try it again
│   ├── StorageFull               the disk under ledger or results is full; running again continues
│   ├── SinkFailed                results cannot be written for another reason; running again continues
│   └── LedgerUnavailable         a shared ledger does not answer, or has too many requests; running again continues
└── TerminalError                 never will
    ├── AuthRefused               401/403 from the API: the license key is not accepted
    │   └── ConnectionBarred      a proxy refuses, or the API's certificate cannot be verified; nothing was sent
    ├── SchemaNotFound            404 to a create or a schema request
    ├── ImportNotFound            404 to a retrieve, a results url or a delete
    ├── RequestInvalid            400 or another 4xx: the vendor's own message
    ├── UploadRefused             storage refuses the upload, for good unless `may_pass`
    ├── ConditionUnsupported      storage refuses the `If-None-Match` header; nothing was written
    ├── ResultInvalid             the result is not one complete JSON array
    │   ├── ResultTooLarge        the result is larger than the limit for results
    │   └── PackUnaccounted       the rows of a pack's result are not those of its files: `code`
    ├── ItemRejected              rejected locally before any create: `code` and a sentence
    │   └── SourceChanged         the file changed while it was read
    ├── AwsRefused                AWS does not accept the credentials, does not allow it, or refuses it: `code`
    ├── SourceNotFound            the directory, file or list does not exist
    ├── ForeignImports            another ledger imports the same files at the same time
    ├── MessageInvalid            a message of a queue cannot be read
    ├── ConfigError               settings, routes or options are wrong
    │   └── HooksRefused          a configuration has hooks or webhook urls, which the stack does not accept
    ├── LedgerError
    │   ├── LedgerLocked          another run holds it
    │   ├── LedgerReplaced        the file of the ledger in use, or a lock of its run, was deleted or replaced
    │   ├── SourceLocked          another run of the account imports the same source
    │   ├── LedgerCorrupt         not a ledger, or damaged
    │   ├── LedgerTooNew          written by a later version
    │   ├── LedgerMismatch        belongs to another account
    │   ├── BatchTaken            another run works on the batch
    │   ├── StaleItem             another process moved the item after it was read
    │   ├── ImportIdTaken         the import already belongs, or belonged, to an item
    │   └── TagInUse              another item with the same tag has data that is, or may be, at the vendor
    └── IllegalTransition         a bug: the table of transitions forbids the move
"""

from __future__ import annotations

from typing import Self


def first_cause(error: BaseException) -> BaseException:
    """Return the first cause in nested groups, since the user can act on one error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class BulkheadError(Exception):
    """Base of all errors; `str()` is a sentence for the user, `hint` the next command or setting to try."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def with_message(self, message: str) -> Self:
        """Return the same error, all its attributes included, with another message."""
        other = type(self).__new__(type(self), message)
        other.__dict__.update(self.__dict__)
        return other


class TransientError(BulkheadError):
    """May succeed if repeated."""


class NotSent(TransientError):
    """The request never left this machine, or the server cannot have acted on it."""


class VendorAway(NotSent):
    """The vendor does not answer, so that the functions of a stack do not call it for a while."""


class OutcomeUnknown(TransientError):
    """The request may have taken effect."""


class Unavailable(TransientError):
    """A read was not answered, answered 5xx, or its answer was cut or malformed."""


class FileUnavailable(Unavailable):
    """An input cannot be read, or a result cannot be written, at the moment; the vendor has no part in it."""


class ListUnusable(Unavailable):
    """The list of imports contradicts itself, does not end, or has an entry that cannot be read."""


class RateLimited(TransientError):
    """The vendor answered 429, or a gateway in front of it did."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, is_of_the_api: bool = True) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_of_the_api = is_of_the_api


class UrlExpired(TransientError):
    """A presigned url has expired."""


class Stopped(TransientError):
    """A read was not made, or not to its end, because the run stops; a later run makes it."""


class DuplicatePending(TransientError):
    """The same content is being sent as an item of `batch_id`; wait for the outcome of that item."""

    def __init__(self, message: str, *, batch_id: str) -> None:
        super().__init__(message)
        self.batch_id = batch_id


class NotYet(TransientError):
    """An item cannot continue now: try it again in `wait_s` seconds.

    `in_trouble`: what the item waits for may never come, so the number of tries is limited.
    """

    def __init__(self, message: str, *, wait_s: float, in_trouble: bool = True) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.in_trouble = in_trouble


class StorageFull(TransientError):
    """No space is left where ledger or results are written."""


class SinkFailed(TransientError):
    """Results cannot be written, for another reason than a lack of space."""


class LedgerUnavailable(TransientError):
    """A shared ledger does not answer, or has more requests than it can take."""


class TerminalError(BulkheadError):
    """Repeating will not help."""


class AuthRefused(TerminalError):
    """The API does not accept the license key."""


class ConnectionBarred(AuthRefused):
    """A proxy refuses to connect to the API, or its certificate cannot be verified, and it has not answered before."""


class SchemaNotFound(TerminalError):
    """The vendor has no such saved schema."""

    def __init__(self, message: str, *, schema_id: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.schema_id = schema_id


class ImportNotFound(TerminalError):
    """The vendor has no such import."""


class RequestInvalid(TerminalError):
    """The vendor refused the request; the message is the vendor's."""


class UploadRefused(TerminalError):
    """Storage refuses the upload; `may_pass`: it may take it later, so only several refusals over time are final."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class ConditionUnsupported(TerminalError):
    """Storage refuses the `If-None-Match` header; nothing was written."""


class ResultInvalid(TerminalError):
    """The result is not one complete JSON array."""


class ResultTooLarge(ResultInvalid):
    """The result is larger than the limit for results, so it is not read to its end, or not saved."""

    @classmethod
    def than(cls, most_bytes: int) -> Self:
        """Return the error of a result with more bytes than these."""
        return cls(
            f"the result is larger than {most_bytes} bytes",
            hint="raise max_result in bulkhead.toml, then redrive the item: only its result is fetched again",
        )


class PackUnaccounted(ResultInvalid):
    """The rows of a pack's result do not add up to the rows of its files; `code` says how."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ItemRejected(TerminalError):
    """An item is rejected locally, before any create."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SourceChanged(ItemRejected):
    """The file changed while it was read."""

    def __init__(self, message: str = "the file changed while it was being read") -> None:
        super().__init__("changed_while_read", message)


class AwsRefused(TerminalError):
    """AWS does not accept the credentials, does not allow the call, or refuses it; `code` is AWS's own word."""

    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class SourceNotFound(TerminalError):
    """The directory, file or list does not exist."""


class ForeignImports(TerminalError):
    """The vendor lists imports of the batch's items that another ledger made since the run began."""


class MessageInvalid(TerminalError):
    """A message of a queue cannot be read."""


class ConfigError(TerminalError):
    """Settings, routes or options are wrong."""


class HooksRefused(ConfigError):
    """A configuration has hooks or webhook urls, which the stack does not accept."""


class LedgerError(TerminalError):
    """The ledger cannot be used."""


class LedgerLocked(LedgerError):
    """Another run holds the ledger."""


class LedgerReplaced(LedgerError):
    """The file of the ledger in use, or a lock of its run, was deleted or replaced: another run may start."""


class SourceLocked(LedgerError):
    """Another run of the account imports the source, or a part of it, with another ledger."""


class LedgerCorrupt(LedgerError):
    """Not a ledger, or damaged."""


class LedgerTooNew(LedgerError):
    """Written by a later version of Bulkhead."""


class LedgerMismatch(LedgerError):
    """The batch belongs to another account."""


class BatchTaken(LedgerError):
    """Another run works on the batch; its lease ends in `left_s` seconds, unless the run renews it."""

    def __init__(self, message: str, *, hint: str | None = None, left_s: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.left_s = left_s


class StaleItem(LedgerError):
    """Another process moved the item after it was read."""


class ImportIdTaken(LedgerError):
    """The import already belongs, or belonged, to an item."""


class TagInUse(LedgerError):
    """The data of another item with the tag is, or may be, at the vendor."""


class IllegalTransition(TerminalError):
    """A bug in the caller: the table of transitions forbids the move."""

    def __init__(self, source: str, old: str, new: str) -> None:
        super().__init__(f"{source}: an item in state {old} cannot become {new}")
