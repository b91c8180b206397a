"""What may happen next: phases, their sequence, the collection held against steps.lock, the recorder."""
