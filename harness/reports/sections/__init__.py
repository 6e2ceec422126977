"""From what a command answers to its section: one file a command, imported when that command's answer is shown."""
