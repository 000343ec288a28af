"""The loader's doors on the bus: parse, call, report."""
