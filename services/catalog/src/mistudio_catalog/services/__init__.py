"""The catalog's decisions. Commands from the bus and requests run the same functions."""
