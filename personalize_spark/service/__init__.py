"""The service: one function for each operation, parameters in, a dict out, or a `ServiceError`."""
