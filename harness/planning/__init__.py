"""What a run would cost: rates measured on this machine, and the estimate made from them."""
