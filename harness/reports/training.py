"""The table of ``harness train`` in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.records import Manifest


def show(history: pd.DataFrame, checkpoints: Sequence[Path], manifest: Manifest, console: Console) -> None:
    """Print a row a checkpoint: the held-out measure before training and at the epoch that was kept, and the loss."""
    config, measure = manifest.config, history["measure"].iloc[0]
    console.print(
        f"harness train · {config['dataset']}, {config['split']} · {config['checkpoint']} · {config['what']}",
        highlight=False,
        markup=False,
    )
    for note in manifest.notes[:-1]:
        console.print(note, highlight=False, markup=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 1), pad_edge=False)
    for name in ("pool", "seed", f"{measure} before", "kept", "epoch kept", "loss"):
        table.add_column(name, justify="left" if name == "pool" else "right", no_wrap=True)
    for (pool, seed), rows in history.groupby(["pool", "seed"], sort=False):
        kept = rows[rows["kept"]].iloc[0]
        loss = "–" if pd.isna(kept["loss"]) else f"{kept['loss']:.3f}"
        epoch = f"{kept['epoch']} of {rows['epoch'].max()}"
        table.add_row(escape(str(pool)), str(seed), f"{rows['value'].iloc[0]:.4f}", f"{kept['value']:.4f}", epoch, loss)
    console.print(table)
    if (history[history["kept"]]["epoch"] == 0).any():
        console.print("Where epoch 0 is kept no epoch was better than the beginning; try another --rate or --batch.")
    for checkpoint in checkpoints:
        console.print(f"Checkpoint: {escape(str(checkpoint))}", soft_wrap=True, highlight=False)
