"""Attacks on the doors, through real clients: each counts its attempts, and no attempt may escape."""
