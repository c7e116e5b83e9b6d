"""What visitors did, and what the operator should know: lines for files, terminals and the journal."""
