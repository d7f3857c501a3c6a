"""The platform's processes: started when they are needed, and ended with their owner."""
