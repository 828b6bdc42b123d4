//! A product on vector kernels: blocks of tiles of `a`, each swept by one panel slice of `b` after the other.

use super::kernel::{self, Ahead, Layout};
use super::tiles::{Coming, TILE_COPY, copy_tiles};
use super::{Format, KC, Operand, Packed, Start, Tiles};
use crate::Float;
use std::cell::RefCell;
use std::ops::Range;

/// Tiles of a block at most.
pub(super) const TILES: usize = 8;

/// Elements of panels that stay in the second-level cache, so that asking for them ahead of time costs more than it saves.
const NEAR: usize = 1 << 18;

thread_local! {
    /// Where a thread copies blocks of `a`.
    static COPY: RefCell<Vec<Float>> = const { RefCell::new(Vec::new()) };
}

/// `c = start + a·b`: rows `rows` of some panels of the result, which this call alone writes.
pub(super) fn multiply(
    a: Operand<'_>,
    b: &Packed,
    start: Start<'_>,
    c: Tiles,
    rows: Range<usize>,
    panels: &[Range<usize>],
) {
    let panel_count = panels.iter().map(Range::len).sum::<usize>();
    let tiles = rows.len().div_ceil(b.isa.mr());
    // Blocks of equally many tiles: a slice that meets one tile alone costs as much to bring here as one that meets all.
    let blocks = tiles.div_ceil(TILES);
    let block = |i: usize| Block::new(&rows, tiles, i * tiles / blocks..(i + 1) * tiles / blocks);
    // An untransposed tile that meets few panels is read where it lies, and so are rows too few to be in each other's way.
    let few = b.isa.panels_at_once(rows.len());
    let copied = if a.column != 1 {
        Some(Layout::Steps)
    } else if (panel_count > 2 && few == 1) || b.format != Format::F32 {
        Some(Layout::Rows)
    } else {
        None
    };
    let (all, stride) = (b.format.steps(b.k), b.format.stride());
    let slices = if copied.is_some() || few == 1 { all.div_ceil(KC) } else { 1 };
    let steps = |slice: usize| slice * all / slices..(slice + 1) * all / slices;
    let ks = |slice: usize| steps(slice).start * stride..(steps(slice).end * stride).min(b.k);
    // Whole panels lie behind one another, so the processor itself sees which comes next.
    let far = slices > 1 && panel_count * b.isa.nr() * all > NEAR;
    COPY.with_borrow_mut(|copy| {
        copy.resize(TILES * TILE_COPY, 0.0);
        for slice in 0..slices {
            for i in 0..blocks {
                let tiles = block(i);
                let mut coming = Coming::none();
                if copied.is_some() {
                    copy_tiles(b.isa, b.format, a, tiles.rows(), ks(slice), copy);
                    if i + 1 < blocks {
                        coming = Coming::new(a, block(i + 1).all_rows(), ks(slice));
                    } else if slice + 1 < slices {
                        coming = Coming::new(a, block(0).all_rows(), ks(slice + 1));
                    }
                }
                let left = copied.map_or(Left::Matrix(a), |layout| Left::Copies(copy, layout));
                let share = coming.left().div_ceil(panel_count * tiles.count);
                let sweep = Sweep { b, start, c, steps: steps(slice), few, far };
                for panels in panels {
                    sweep.over(left, &tiles, panels.clone(), &mut coming, share);
                }
            }
        }
    });
}

/// The tiles of a block of `a`, rows as even as can be.
struct Block {
    /// The first row of each tile, and of what follows the last.
    bounds: [usize; TILES + 1],
    count: usize,
}

impl Block {
    /// Tiles `tiles` of the `all` that `rows` are cut into.
    fn new(rows: &Range<usize>, all: usize, tiles: Range<usize>) -> Block {
        let bounds = std::array::from_fn(|t| rows.start + (tiles.start + t) * rows.len() / all);
        Block { bounds, count: tiles.len() }
    }

    /// The rows of each tile.
    fn rows(&self) -> impl Iterator<Item = Range<usize>> {
        self.bounds[..=self.count].windows(2).map(|ends| ends[0]..ends[1])
    }

    fn all_rows(&self) -> Range<usize> {
        self.bounds[0]..self.bounds[self.count]
    }
}

/// Where tiles of `a` are read.
#[derive(Clone, Copy)]
enum Left<'a> {
    /// From copies, a [`TILE_COPY`] each.
    Copies(&'a [Float], Layout),
    /// From the matrix itself.
    Matrix(Operand<'a>),
}

/// What the sweeps of a block have in common.
struct Sweep<'a> {
    b: &'a Packed,
    start: Start<'a>,
    c: Tiles,
    /// Of a panel, and of the tiles.
    steps: Range<usize>,
    /// Panels that a tile meets at once, where there are as many.
    few: usize,
    /// Whether panels come from beyond the second-level cache.
    far: bool,
}

impl Sweep<'_> {
    /// Every tile of a block by neighbouring panels. On the way a tile asks for its share of what is read next: of `coming`,
    /// and, where panels are far, of the panel slice after this one.
    fn over(&self, left: Left<'_>, tiles: &Block, panels: Range<usize>, coming: &mut Coming, share: usize) {
        let &Sweep { b, start, c, ref steps, few, far } = self;
        let (mr, nr, pitch) = (b.isa.mr(), b.isa.nr(), b.isa.nr() * b.format.steps(b.k));
        let stride = if far { nr * size_of::<Float>() / tiles.count } else { 0 };
        let mut p = panels.start;
        while p < panels.end {
            let at_once = if (p + few) * nr <= b.n && p + few <= panels.end { few } else { 1 };
            let panel = (&b.panels(p)[steps.start * nr..], pitch);
            let width = (at_once * nr).min(b.n - p * nr);
            let mut ahead = Ahead { from: panel.0.as_ptr(), stride };
            if far {
                ahead.from = ahead.from.wrapping_add(at_once * pitch);
            }
            for (t, rows) in tiles.rows().enumerate() {
                let tile = match left {
                    Left::Copies(copies, layout) => (&copies[t * TILE_COPY..], layout),
                    Left::Matrix(a) => {
                        let at = rows.start * a.row + steps.start * a.column;
                        (&a.data[at..], Layout::Matrix { row: a.row, column: a.column })
                    }
                };
                // The tile after this one: below it, or at the top of the next panels.
                let (row, next) =
                    if t + 1 < tiles.count { (rows.end, p) } else { (tiles.bounds[0], p + at_once) };
                kernel::prefetch(mr, nr, c.data.wrapping_add(row * c.ldc + next * nr), c.ldc);
                coming.ask(share);
                // SAFETY: `run` asserted, and the caller of `run_panels` says, that these rows and columns are the result's; a row to
                // start with has all columns, and this task alone writes this tile. `Packed::of` made sure of the kernel; a block's
                // tiles have at most `mr` rows; tile and panel hold as many steps as are asked for.
                unsafe {
                    let c = (c.data.add(rows.start * c.ldc + p * nr), c.ldc);
                    let start = match start {
                        _ if steps.start > 0 => (c.0.cast_const(), c.1),
                        Start::Zero => (std::ptr::null(), 0),
                        Start::Result => (c.0.cast_const(), c.1),
                        Start::Row(row) => (row.as_ptr().add(p * nr), 0),
                    };
                    let element = b.format.element();
                    kernel::tile(
                        b.isa,
                        element,
                        rows.len(),
                        tile,
                        panel,
                        steps.len(),
                        start,
                        c,
                        width,
                        ahead,
                    );
                }
                ahead.from = ahead.from.wrapping_byte_add(steps.len() * stride);
            }
            p += at_once;
        }
    }
}
