"""Tables and figures from result files; needs neither torch nor a model."""
