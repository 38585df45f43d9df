"""What happens by itself: jobs from the outbox, and closing billing periods."""
