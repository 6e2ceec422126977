"""The pages whose figures are read from committed files: README.md, some of docs/, benchmarks/ and reports/.

Each is rendered by ``make readme`` from the template of its path here. A figure in a template is an expression that
looks up a cell.
"""
