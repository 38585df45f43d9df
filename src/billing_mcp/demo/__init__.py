"""The demo: a believable past, and an agent at work on it."""
