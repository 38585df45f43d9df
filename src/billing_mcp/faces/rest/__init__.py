"""REST: the billing functions by their routes, scripts, and what describes them."""
