"""PA2's rules as pure functions: canonical records in; draft, report and journal rows out."""
