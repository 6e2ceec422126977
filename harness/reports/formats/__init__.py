"""What a section, or a report of several, can be shown or written as: one file a format."""
