"""Snapshots: reading one moment of the database."""
