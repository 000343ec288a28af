"""From messages to services and back."""
