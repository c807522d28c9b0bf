"""groupbook: friends plan a trip together, each with their own price and payment, all or nothing."""

__version__ = "0.1.0"
