"""The posting engine: the only way in which money moves, alone or many instructions at a time."""
