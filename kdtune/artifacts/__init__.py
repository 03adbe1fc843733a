"""Artifacts: teachers, logits and compiled code, made once, cached, and billed to every strategy that uses them."""
