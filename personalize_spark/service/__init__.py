"""The service: one function an operation, parameters in, a dict out, or a `ServiceError`."""
