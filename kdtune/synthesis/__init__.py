"""Making training images from a teacher alone, for distillation without data."""
