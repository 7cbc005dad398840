"""Datasets: the service's CSV files into Delta tables, and what filters need of them into views."""
