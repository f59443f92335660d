"""MiniLLM: knowledge distillation of language models (arXiv 2306.08543) on stock libraries."""

__version__ = "0.1.0"
