"""The page behind a review URL, where a person finishes an import: what it shows, and what is decided there."""
