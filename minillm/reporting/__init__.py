"""Tables and figures from result files. This package needs neither torch nor a model."""
