//! Host memory: what the system gives, and the pool it returns to.

use crate::Float;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::HashMap;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Elements of a cache line, the unit in which buffers are made: vectors never straddle two lines.
const BLOCK: usize = 64 / size_of::<Float>();

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Free memory by length in blocks.
#[derive(Default)]
pub(crate) struct Pool {
    free: Mutex<HashMap<usize, Vec<Memory>>>,
    made: AtomicU64,
}

impl Pool {
    /// A buffer of `len` elements. Recycled memory holds what its last owner left in it, new memory zeros; in debug builds
    /// it is filled with NaN, so that reading before writing shows.
    pub(crate) fn alloc(pool: &Arc<Pool>, len: usize) -> CpuBuffer {
        let blocks = size_class(len.div_ceil(BLOCK));
        let recycled = pool.free().get_mut(&blocks).and_then(Vec::pop);
        let memory = recycled.unwrap_or_else(|| {
            pool.made.fetch_add(1, Ordering::Relaxed);
            Memory::zeroed(blocks)
        });
        let mut buffer = CpuBuffer { memory: Some(memory), len, pool: pool.clone() };
        if cfg!(debug_assertions) {
            buffer.as_mut_slice().fill(Float::NAN);
        }
        buffer
    }

    /// Buffers taken from the system so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Vec<Memory>>> {
        // A panic elsewhere cannot leave a list of free buffers in a bad state.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.free();
        let blocks: usize = free.iter().map(|(blocks, list)| blocks * list.len()).sum();
        write!(f, "Pool({} free bytes)", blocks * BLOCK * size_of::<Float>())
    }
}

/// Lengths are rounded up to four classes an octave, so that batches of similar shape share buffers.
///
/// What is rounded up costs addresses and no memory: the system gives a page when it is first written.
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
    blocks: usize,
}

// SAFETY: it owns what it points to, like a box.
unsafe impl Send for Memory {}
// SAFETY: as above; writing takes an exclusive borrow.
unsafe impl Sync for Memory {}

impl Memory {
    /// `blocks` blocks of zeros.
    fn zeroed(blocks: usize) -> Memory {
        let bytes = blocks.saturating_mul(BLOCK * size_of::<Float>());
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
        Memory { base, layout, start, blocks }
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
    /// There until the buffer is dropped.
    memory: Option<Memory>,
    len: usize,
    pool: Arc<Pool>,
}

impl CpuBuffer {
    fn start(&self) -> NonNull<Float> {
        self.memory.as_ref().expect("a buffer has its memory until it is dropped").start
    }

    pub(crate) fn as_slice(&self) -> &[Float] {
        let start = self.start();
        // SAFETY: `Pool::alloc` made room for `len` initialised elements.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Float] {
        let start = self.start();
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.len) }
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.pool.free().entry(memory.blocks).or_default().push(memory);
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
