"""Filters: a small compiler. Text -> tree (`parser`) -> bound to a schema (`binding`) -> masks over items (`mask`)."""
