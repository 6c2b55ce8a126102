"""Errors that stop an import. The text of each is the sentence that the import's errors show.

EngineError
    UnreadableFileError
    EmptyFileError
    HookError
    MissingLibraryError
    RegexTimeoutError (validators.regex)
    UnknownLocaleError (types.locales)
"""


class EngineError(Exception):
    """The import cannot continue: it ends FAILED."""


class UnreadableFileError(EngineError):
    """The file cannot be read."""


class EmptyFileError(EngineError):
    """The file has no rows."""


class HookError(EngineError):
    """A hook threw, timed out, returned the wrong shape, or cannot be run here."""


class MissingLibraryError(EngineError):
    """The data needs a library of the `sandbox` extra that is not installed."""
