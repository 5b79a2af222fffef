"""The ledger, the plan, the verdicts and the one send path: the only code that posts."""
