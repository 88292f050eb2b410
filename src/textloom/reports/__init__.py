"""Runs side by side: what differs between them, which is best, and whether that is more than luck."""
