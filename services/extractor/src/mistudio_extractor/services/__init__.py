"""What the extractor does, independent of the bus."""
