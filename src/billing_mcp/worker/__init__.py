"""What happens by itself: closing billing periods."""
