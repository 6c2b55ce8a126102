"""What stops an import; the text of each is a sentence for the import's errors."""


class EngineError(Exception):
    """The import cannot go on: it ends FAILED."""


class UnreadableFileError(EngineError):
    """The file cannot be read."""


class EmptyFileError(EngineError):
    """The file holds nothing."""


class HookError(EngineError):
    """A hook threw, timed out, returned the wrong shape, or cannot be run here."""


class MissingLibraryError(EngineError):
    """The data needs a library of the `sandbox` extra that is not installed."""
