"""Where a real PostgreSQL and Redis come from, and the leases that a notebook gets on them."""
