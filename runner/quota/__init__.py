"""quota: see the modules."""
