"""The doors: parse, call a service, translate errors."""
