"""What stands out in the course of key figures: anomalies, regressions, forecasts, correlations."""
