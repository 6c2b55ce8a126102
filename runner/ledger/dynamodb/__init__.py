"""dynamodb: see the modules."""
