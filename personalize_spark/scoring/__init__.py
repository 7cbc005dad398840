"""Scoring: numpy in, numpy out."""
