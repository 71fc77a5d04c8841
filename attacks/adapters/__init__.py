"""Attacks of other libraries, each an optional extra, given the hashing loss."""
