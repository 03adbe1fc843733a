"""What is made once, kept in the cache and billed to every strategy that uses it: teachers, logits, compiled code."""
