"""Quantisation of students to integers of 8 bits, by torchao's PT2E."""
