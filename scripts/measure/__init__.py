"""What scripts/bench measures: a module a section, and what they share."""
