"""Payment providers: the port that the rest knows, and what stands behind it."""
