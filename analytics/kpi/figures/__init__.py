"""The definitions of the key figures, a module for each part of the product; ``analytics.kpi.registry`` lists them."""
