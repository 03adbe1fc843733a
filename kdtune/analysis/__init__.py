"""What results say when they are put side by side."""
