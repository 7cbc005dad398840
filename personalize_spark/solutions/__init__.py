"""Solution versions: trained here, updated, or imported from factors learned elsewhere."""
