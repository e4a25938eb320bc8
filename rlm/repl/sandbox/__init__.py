"""The programs inside: fork server, session process, confinement. They use only the standard library."""
