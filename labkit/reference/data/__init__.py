"""The platform's database: sessions of requests, transactions of one user, and what these store."""
