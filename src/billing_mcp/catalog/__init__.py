"""The price catalog: data in `catalog.toml`, and its validated loader."""
