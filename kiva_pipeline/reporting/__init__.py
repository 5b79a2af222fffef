"""What a person reads after a run: the reconciliation and the worklist of a month."""
