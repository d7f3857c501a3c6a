"""What breaks things on purpose, and makes sure that they really broke."""
