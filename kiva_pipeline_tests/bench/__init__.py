"""What the pipeline costs, as ratios to floors written by hand.

``python -m kiva_pipeline_tests.bench`` prints the table. Nothing here is a timed test.
"""
