"""The pages whose figures are read from committed files: README.md, benchmarks/README.md, reports/retrained/README.md.

Each is rendered from its template here: ``make readme``. A figure in a template is an expression that looks up a cell.
"""
