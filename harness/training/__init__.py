"""Fine-tune a projection, or a whole encoder, under any aggregator."""
