"""Immutable folders of columns: models, views and shards of users, pinned by their manifest's hash."""
