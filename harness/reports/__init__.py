"""Reports: read run directories, render, compute nothing."""
