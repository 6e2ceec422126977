"""The section of ``harness train``: the held-out measure before training and at the epoch that was kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.records import Manifest
from harness.reports.content import Section, decimals, words


def build(history: pd.DataFrame, checkpoints: Sequence[Path], manifest: Manifest) -> Section:
    """A row for every checkpoint. history: pool, seed, epoch, loss, measure, value, kept."""
    config = manifest.config
    columns = ["pool", "seed", f"{history['measure'].iloc[0]} before", "kept", "epoch kept", "loss"]
    rows = []
    for (pool, seed), epochs in history.groupby(["pool", "seed"], sort=False):
        best = epochs[epochs["kept"]].iloc[0]
        loss = "–" if pd.isna(best["loss"]) else f"{best['loss']:.3f}"
        values = decimals(epochs["value"].iloc[0]), decimals(best["value"])
        rows.append((pool, seed, *values, f"{best['epoch']} of {epochs['epoch'].max()}", loss))
    hint = "Where epoch 0 is kept no epoch was better than the beginning; try another --rate or --batch."
    return Section(
        f"Training of a {config['what']}: {config['dataset']}, {config['checkpoint']}",
        f"{config['dataset']}, split {config['split']}, checkpoint {config['checkpoint']}, {config['what']}.",
        tuple(f"Note: {note}." for note in manifest.notes[:-1]),
        tables=(words("Held-out queries", columns, rows, numbers=columns),),
        findings=(hint,) if (history[history["kept"]]["epoch"] == 0).any() else (),
        files=tuple(f"Checkpoint: {checkpoint}" for checkpoint in checkpoints),
    )
