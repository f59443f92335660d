"""A report as one HTML file: tables, figures, and a browser of the responses."""
