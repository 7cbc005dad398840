"""The service's records: ARNs, the catalog that holds them, and how resources are found, leased and named."""
