"""Show that the instrument measures what it says: one module a question, each writing its page of reports/validation."""
