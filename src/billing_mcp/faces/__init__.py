"""How the world reaches the kernel. Only faces know protocols and their statuses."""
