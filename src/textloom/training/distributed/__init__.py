"""Training on several devices: ranks, worker processes, Lightning's strategy."""
