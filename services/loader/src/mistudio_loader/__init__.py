"""Turns bytes into prepared artifacts and canonical datasets."""
