"""What Dagster's graph shows: thin assets, a file for each group."""
