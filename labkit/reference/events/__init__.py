"""Events on their way: from the outbox to Redis, and on to every connection of their user."""
