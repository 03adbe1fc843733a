"""Energy: sensors, the node's meter, the ledger, attribution, carbon and FLOPs."""
