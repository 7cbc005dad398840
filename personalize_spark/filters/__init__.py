"""Filters: a small compiler. Text -> tree (`parser`) -> bound to a schema and, line by line, to values (`binding`) -> masks over items (`mask`, `selector`)."""
