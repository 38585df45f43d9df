"""The only way in: what functions there are, who may call them, and execution as a transaction."""
