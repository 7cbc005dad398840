"""Trainings: from a dataset group's interactions to a solution version's model. Spark ML and Delta do the work."""
