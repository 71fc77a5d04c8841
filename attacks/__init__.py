"""Targeted hashing attacks: a rule that names the target code × a way to craft the image."""
