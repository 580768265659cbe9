"""What crosses rooms: values, seams and errors. Standard library only, no I/O.

Import from the modules (`firmware_py.contracts.request`, …): this package re-exports nothing, so
that reading one contract never loads another.
"""
