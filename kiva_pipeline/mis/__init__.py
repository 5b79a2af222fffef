"""The MIS: sources that read it, and the canonical records that they become."""
