"""Documents: what stands on them, how they look, and what they may not do."""
