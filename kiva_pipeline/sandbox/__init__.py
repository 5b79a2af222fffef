"""A Partner API to practise on, and the demo MIS. Never imported by the pipeline's own rooms."""
