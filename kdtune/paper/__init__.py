"""The paper's tables, printed values and claims, compared with results."""
