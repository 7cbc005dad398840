"""Themes: a short phrase that says what a set of items has in common and the rest of the catalogue has not."""
