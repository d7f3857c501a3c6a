"""For whom the platform acts: sessions of users, and contexts that live as long as these."""
