"""Real servers, tiny models and fault injection for the tests."""
