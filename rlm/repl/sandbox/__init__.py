"""The programs that run inside the sandbox: fork server, session process, confinement.

They use only the standard library.
"""
