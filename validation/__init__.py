"""Show that the instrument measures what it says: a module a question, each writing a page of reports/validation."""
