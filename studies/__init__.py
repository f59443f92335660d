"""Studies of the estimators and of reliability; their results are in docs/ and results/."""
