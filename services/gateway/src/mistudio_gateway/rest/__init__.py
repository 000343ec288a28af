"""The grammar of the REST API: bodies, errors, authorisation, OpenAPI."""
