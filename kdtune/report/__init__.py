"""What people see: tables and the live display. Reads results, runs nothing."""
