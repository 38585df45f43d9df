"""What holds on every face."""
