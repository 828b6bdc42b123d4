//! Host memory: what the system gives, and the pool it returns to.
//!
//! Short buffers come in size classes. A long buffer is a piece of a region, cut where it fits best and joined with its free
//! neighbours when it comes back, so that what one part of a training step leaves serves the next one, whatever its lengths:
//! with a list for each length, memory would be the sum of what each length ever needs at once.

use crate::Float;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::HashMap;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Elements of a cache line, the unit in which buffers are made: vectors never straddle two lines.
const BLOCK: usize = 64 / size_of::<Float>();

/// Bytes of a block.
const BLOCK_BYTES: usize = BLOCK * size_of::<Float>();

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Blocks from which on a buffer is a piece of a region: 64 KiB.
const LONG: usize = (64 << 10) / BLOCK_BYTES;

/// Blocks in which pieces are cut: 4 KiB.
const GRAIN: usize = (4 << 10) / BLOCK_BYTES;

/// Blocks of the first regions: 64 MiB. Later ones have half of all there is, so that they are few and what is left at
/// their ends is little. What is never written costs addresses and no memory: the system gives a page when it is first
/// written.
const REGION: usize = (64 << 20) / BLOCK_BYTES;

/// Memory that tensors return to.
#[derive(Default)]
pub(crate) struct Pool {
    stock: Mutex<Stock>,
    made: AtomicU64,
}

#[derive(Default)]
struct Stock {
    /// Free short pieces by length in blocks.
    short: HashMap<usize, Vec<Piece>>,
    /// Free long pieces in the order of their addresses. Two that touch are one.
    long: Vec<Piece>,
    /// What the pieces lie in.
    memory: Vec<Memory>,
    /// Blocks of all regions.
    regions: usize,
}

/// A stretch of the memory of a pool.
#[derive(Clone, Copy)]
struct Piece {
    start: NonNull<Float>,
    blocks: usize,
}

// SAFETY: a piece is either free, under the pool's lock, or owned by one buffer.
unsafe impl Send for Piece {}
// SAFETY: as above; writing takes an exclusive borrow of the buffer.
unsafe impl Sync for Piece {}

impl Piece {
    /// What is behind its first `blocks` blocks.
    fn after(self, blocks: usize) -> Piece {
        debug_assert!(blocks <= self.blocks);
        // SAFETY: so many blocks are within the piece, or end with it.
        Piece { start: unsafe { self.start.add(blocks * BLOCK) }, blocks: self.blocks - blocks }
    }

    fn ends_at(self, other: Piece) -> bool {
        self.after(self.blocks).start == other.start
    }
}

impl Pool {
    /// A buffer of `len` elements. Recycled memory holds what its last owner left in it, new memory zeros; in debug builds
    /// it is filled with NaN, so that reading before writing shows.
    pub(crate) fn alloc(pool: &Arc<Pool>, len: usize) -> CpuBuffer {
        let blocks = len.div_ceil(BLOCK);
        let mut stock = pool.stock();
        let class = size_class(blocks);
        let piece = if class < LONG {
            let recycled = stock.short.get_mut(&class).and_then(Vec::pop);
            recycled.unwrap_or_else(|| pool.make(&mut stock, class))
        } else {
            // Never below `LONG`: by its length a piece finds the way back.
            let blocks = blocks.max(LONG).next_multiple_of(GRAIN);
            stock.cut(blocks).unwrap_or_else(|| {
                let region = blocks.max(REGION).max(stock.regions / 2).next_multiple_of(HUGE / BLOCK_BYTES);
                let region = pool.make(&mut stock, region);
                stock.regions += region.blocks;
                stock.put(region.after(blocks));
                Piece { blocks, ..region }
            })
        };
        drop(stock);
        let mut buffer = CpuBuffer { piece, len, pool: pool.clone() };
        if cfg!(debug_assertions) {
            buffer.as_mut_slice().fill(Float::NAN);
        }
        buffer
    }

    /// Times that memory was taken from the system so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// New memory of `blocks` blocks.
    fn make(&self, stock: &mut Stock, blocks: usize) -> Piece {
        self.made.fetch_add(1, Ordering::Relaxed);
        let memory = Memory::zeroed(blocks);
        let start = memory.start;
        stock.memory.push(memory);
        Piece { start, blocks }
    }

    fn stock(&self) -> std::sync::MutexGuard<'_, Stock> {
        // Nothing in between the changes of a stock can panic.
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock {
    /// Takes `blocks` blocks from the shortest free piece that has them, the first of equals.
    fn cut(&mut self, blocks: usize) -> Option<Piece> {
        let enough = self.long.iter().enumerate().filter(|(_, piece)| piece.blocks >= blocks);
        let (at, &piece) = enough.min_by_key(|(_, piece)| piece.blocks)?;
        if piece.blocks == blocks {
            self.long.remove(at);
        } else {
            self.long[at] = piece.after(blocks);
        }
        Some(Piece { blocks, ..piece })
    }

    /// Takes a long piece back. Pieces of two regions never touch, since each region has room to align within.
    fn put(&mut self, piece: Piece) {
        if piece.blocks == 0 {
            return;
        }
        let at = self.long.partition_point(|other| other.start < piece.start);
        let before = at > 0 && self.long[at - 1].ends_at(piece);
        let after = self.long.get(at).is_some_and(|&next| piece.ends_at(next));
        match (before, after) {
            (true, true) => self.long[at - 1].blocks += piece.blocks + self.long.remove(at).blocks,
            (true, false) => self.long[at - 1].blocks += piece.blocks,
            (false, true) => {
                self.long[at] = Piece { blocks: piece.blocks + self.long[at].blocks, ..piece };
            }
            (false, false) => self.long.insert(at, piece),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stock = self.stock();
        let short: usize = stock.short.iter().map(|(blocks, list)| blocks * list.len()).sum();
        let long: usize = stock.long.iter().map(|piece| piece.blocks).sum();
        write!(f, "Pool({} free bytes)", (short + long) * BLOCK_BYTES)
    }
}

/// Lengths are rounded up to four classes an octave, so that batches of similar shape share buffers.
pub(crate) fn size_class(blocks: usize) -> usize {
    let blocks = blocks.max(1);
    let step = (blocks.checked_next_power_of_two().unwrap_or(1 << 62) / 8).max(1);
    blocks.div_ceil(step).saturating_mul(step)
}

/// Memory from the system: initialised, aligned to a cache line, and on huge pages where it is long enough and the system
/// has them.
struct Memory {
    base: NonNull<u8>,
    layout: Layout,
    /// The first aligned byte.
    start: NonNull<Float>,
}

// SAFETY: it owns what it points to, like a box.
unsafe impl Send for Memory {}
// SAFETY: as above; writing takes an exclusive borrow.
unsafe impl Sync for Memory {}

impl Memory {
    /// `blocks` blocks of zeros.
    fn zeroed(blocks: usize) -> Memory {
        let bytes = blocks.saturating_mul(BLOCK_BYTES);
        let align = if bytes >= HUGE { HUGE } else { 64 };
        // Room to align within: asked for an alignment, the allocator would write all the zeros itself, and so have every
        // page made at once, and made small.
        let layout = Layout::from_size_align(bytes.saturating_add(align), 16)
            .expect("a tensor longer than all addresses is refused by its shape");
        // SAFETY: the layout is not empty.
        let base =
            NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        let skip = base.align_offset(align);
        // SAFETY: `skip` is less than `align`, which the layout has beyond `bytes`.
        let start = unsafe { base.add(skip) }.cast();
        if bytes >= HUGE {
            ask_for_huge_pages(start.cast(), bytes / HUGE * HUGE);
        }
        Memory { base, layout, start }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and the owner goes.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// Asks Linux for huge pages: passes over many megabytes otherwise spend their time on looking up where pages lie.
///
/// The answer does not matter: without them everything works, a little slower.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn ask_for_huge_pages(start: NonNull<u8>, bytes: usize) {
    const MADVISE: i64 = 28;
    const MADV_HUGEPAGE: u64 = 14;
    // SAFETY: the call changes how pages of our own memory are made, and none of its bytes.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") MADVISE => _,
            in("rdi") start.as_ptr(),
            in("rsi") bytes,
            in("rdx") MADV_HUGEPAGE,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn ask_for_huge_pages(_: NonNull<u8>, _: usize) {}

/// Host memory that returns to its pool when dropped.
pub(crate) struct CpuBuffer {
    piece: Piece,
    len: usize,
    pool: Arc<Pool>,
}

impl CpuBuffer {
    pub(crate) fn as_slice(&self) -> &[Float] {
        // SAFETY: `Pool::alloc` made room for `len` initialised elements, in memory that the pool keeps.
        unsafe { std::slice::from_raw_parts(self.piece.start.as_ptr(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Float] {
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.piece.start.as_ptr(), self.len) }
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        let mut stock = self.pool.stock();
        if self.piece.blocks < LONG {
            stock.short.entry(self.piece.blocks).or_default().push(self.piece);
        } else {
            stock.put(self.piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_recycled_and_aligned() {
        let pool = Arc::new(Pool::default());
        let first = Pool::alloc(&pool, 1000);
        let address = first.as_slice().as_ptr() as usize;
        assert_eq!(address % 64, 0);
        drop(first);
        let again = Pool::alloc(&pool, 1001);
        assert_eq!(again.as_slice().as_ptr() as usize, address, "a similar length reuses the buffer");
        assert_eq!(pool.made(), 1);
        let second = Pool::alloc(&pool, 1001);
        assert_ne!(second.as_slice().as_ptr() as usize, address);
        assert_eq!(pool.made(), 2);
    }

    /// The lengths of the free long pieces, in the order of their addresses.
    fn free(pool: &Pool) -> Vec<usize> {
        pool.stock().long.iter().map(|piece| piece.blocks).collect()
    }

    #[test]
    fn long_buffers_share_a_region_and_free_neighbours_are_joined() {
        let pool = Arc::new(Pool::default());
        let long = |grains: usize| Pool::alloc(&pool, (LONG + grains * GRAIN) * BLOCK);
        let [a, b, c, d] = [3, 1, 2, 0].map(long);
        let (b_at, rest) = (b.as_slice().as_ptr(), free(&pool));
        assert_eq!((pool.made(), rest.len()), (1, 1));
        // The shortest hole that is long enough, not the first.
        drop(a);
        drop(c);
        assert_eq!(free(&pool), [LONG + 3 * GRAIN, LONG + 2 * GRAIN, rest[0]]);
        let again = long(1);
        assert_eq!(free(&pool), [LONG + 3 * GRAIN, GRAIN, rest[0]]);
        // Each of the four ways to come back: alone, behind, before and between free pieces.
        drop(b);
        assert_eq!(free(&pool), [2 * LONG + 4 * GRAIN, GRAIN, rest[0]]);
        drop(d);
        assert_eq!(free(&pool), [2 * LONG + 4 * GRAIN, GRAIN + LONG + rest[0]]);
        drop(again);
        assert_eq!(free(&pool), [REGION]);
        assert_ne!(Pool::alloc(&pool, 2 * LONG * BLOCK).as_slice().as_ptr(), b_at);
        assert_eq!((pool.made(), free(&pool)), (1, vec![REGION]));
    }

    #[test]
    fn every_length_comes_back_to_where_it_is_looked_for() {
        for blocks in (1..=2 * LONG).chain([REGION - 1, REGION]) {
            let pool = Arc::new(Pool::default());
            for _ in 0..3 {
                drop(Pool::alloc(&pool, blocks * BLOCK));
            }
            assert_eq!(pool.made(), 1, "{blocks} blocks");
        }
    }

    #[test]
    fn a_buffer_beyond_a_region_has_one_of_its_own_and_outlives_nothing() {
        let pool = Arc::new(Pool::default());
        let len = REGION * BLOCK + 1;
        let buffer = Pool::alloc(&pool, len);
        assert_eq!(buffer.as_slice().len(), len);
        assert_eq!(free(&pool), [(HUGE / BLOCK_BYTES) - GRAIN]);
        // The buffer keeps the pool, and the pool the memory.
        let mut buffer = { buffer };
        drop(pool);
        buffer.as_mut_slice()[len - 1] = 1.0;
        assert_eq!(buffer.as_slice()[len - 1], 1.0);
    }

    #[test]
    fn new_memory_is_zero_however_long() {
        for blocks in [1, 3, HUGE / 64 - 1, HUGE / 64, 3 * HUGE / 64 + 5] {
            let memory = Memory::zeroed(blocks);
            let align = if blocks * 64 >= HUGE { HUGE } else { 64 };
            assert_eq!(memory.start.as_ptr() as usize % align, 0);
            // SAFETY: so many elements were asked for.
            let all = unsafe { std::slice::from_raw_parts(memory.start.as_ptr(), blocks * BLOCK) };
            assert!(all.iter().all(|&x| x == 0.0), "{blocks} blocks");
        }
    }

    #[test]
    fn size_classes_waste_at_most_a_quarter() {
        for blocks in 1..5000 {
            let class = size_class(blocks);
            assert!(class >= blocks && class * 4 <= blocks * 5 + 4, "{blocks} -> {class}");
            assert_eq!(size_class(class), class, "a class is its own class");
        }
    }
}
