//! Copies of tiles of the left-hand side, for kernels to read.

use super::{Format, KC, Operand, bf16, kernel};
use crate::Float;
use std::ops::Range;

/// Room for a copied tile. The spare row lets [`copy_columns`] write a full stretch wherever a tile has one step more.
pub(super) const TILE_COPY: usize = kernel::MAX_MR * (KC + 1);

/// Rows `rows` and columns `ks` of `a` to the front of `copy` in `format`: row after row, or, of a transposed `a`, step
/// after step.
pub(super) fn copy_tile(
    format: Format,
    a: Operand<'_>,
    rows: Range<usize>,
    ks: Range<usize>,
    copy: &mut [Float],
) {
    let source = &a.data[rows.start * a.row + ks.start * a.column..];
    let (rows, kc, steps) = (rows.len(), ks.len(), format.steps(ks.len()));
    match format {
        Format::F32 => copy_numbers(source, a, rows, kc, copy),
        Format::Rounded => {
            copy_numbers(source, a, rows, kc, copy);
            bf16::round(&mut copy[..rows * kc]);
        }
        Format::Tiles(_) | Format::Split(..) => unreachable!("`tiled` copies for tile registers"),
        Format::Pairs if a.column == 1 => {
            for (i, to) in copy.chunks_exact_mut(steps).take(rows).enumerate() {
                bf16::pair_neighbours(&source[i * a.row..][..kc], to);
            }
        }
        Format::Pairs => {
            for (l, to) in copy.chunks_exact_mut(rows).take(steps).enumerate() {
                let low = &source[2 * l * a.column..][..rows];
                if 2 * l + 1 < kc {
                    bf16::pair_rows(low, &source[(2 * l + 1) * a.column..][..rows], to);
                } else {
                    bf16::pair_rows(low, &[0.0; kernel::MAX_MR][..rows], to);
                }
            }
        }
    }
}

/// [`copy_tile`] of numbers as they are.
fn copy_numbers(source: &[Float], a: Operand<'_>, rows: usize, kc: usize, copy: &mut [Float]) {
    if a.column == 1 {
        for (i, to) in copy.chunks_exact_mut(kc).take(rows).enumerate() {
            to.copy_from_slice(&source[i * a.row..][..kc]);
        }
    } else if source.len() >= (kc - 1) * a.column + kernel::MAX_MR {
        copy_columns(source, a.column, rows, kc, copy);
    } else {
        for l in 0..kc {
            copy[l * rows..][..rows].copy_from_slice(&source[l * a.column..][..rows]);
        }
    }
}

/// The first `rows` elements of each of `k` stretches of `source`, `stride` elements apart, one after the other.
///
/// Stretches are copied with a fixed length, which is a few vector moves instead of a call; what is too much is
/// overwritten by the next stretch.
fn copy_columns(source: &[Float], stride: usize, rows: usize, k: usize, copy: &mut [Float]) {
    const WIDE: usize = kernel::MAX_MR;
    for l in 0..k {
        let from: &[Float; WIDE] = source[l * stride..].first_chunk().expect("the caller looked");
        let to: &mut [Float; WIDE] = copy[l * rows..].first_chunk_mut().expect("a tile has a spare row");
        *to = *from;
    }
}
