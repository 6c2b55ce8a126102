"""Bulkhead on AWS: what the functions do with a message, knowing nothing of Lambda, and what commands ask a stack."""
