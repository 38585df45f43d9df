"""Running a script: lint, sandbox, limits, and what agents read about the functions."""
