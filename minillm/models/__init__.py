"""Language models: loading, building, forward passes, output heads and caches."""
