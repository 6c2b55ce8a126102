"""The version of Bulkhead."""

__version__ = "0.1.0"
