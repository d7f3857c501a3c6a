"""What the platform keeps in Redis for a time: texts of its users, and titles of their threads."""
