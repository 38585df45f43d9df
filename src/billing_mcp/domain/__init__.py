"""Pure billing rules: values in, values out. Standard library only."""
