//! Which vectors the processor has, and which of them may be used.

use crate::{Error, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// An instruction set a loop is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Level {
    /// What the target guarantees (SSE2 on x86-64, NEON on AArch64).
    Baseline = 1,
    /// AVX2 and FMA, 256 bits wide.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx2 = 2,
    /// AVX-512 F, VL, BW and DQ, 512 bits wide.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx512 = 3,
}

/// The detected level as a number, 0 before the first call.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The widest level this machine has and may use; found out once.
#[inline]
pub(crate) fn level() -> Level {
    match LEVEL.load(Relaxed) {
        1 => Level::Baseline,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => {
            let (found, limit) = (detected(), limit());
            let level = if (limit as u8) < found as u8 { limit } else { found };
            LEVEL.store(level as u8, Relaxed);
            level
        }
    }
}

/// The widest level this machine has.
#[cold]
pub(crate) fn detected() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("fma")
        {
            return Level::Avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
    }
    Level::Baseline
}

/// Runs `f` once per level this machine has, that level forced. One caller at a time; loops on other threads meanwhile
/// run at the forced level too, which changes their speed and, by the promise of `simd!`, nothing else.
#[cfg(test)]
pub(crate) fn for_each_level(mut f: impl FnMut(Level)) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let widest = level();
    for forced in [Level::Baseline, Level::Avx2, Level::Avx512] {
        if forced as u8 <= widest as u8 {
            LEVEL.store(forced as u8, Relaxed);
            f(forced);
        }
    }
    LEVEL.store(widest as u8, Relaxed);
}

/// The environment variable that holds the vectors back: `amx`, `avx512`, `avx2` or `portable`.
pub const OVERRIDE: &str = "SEQWEAVE_CPU";

/// The name that allows everything: AMX tiles, and the vectors that come with them.
const TILES: &str = "amx";

/// The names that [`OVERRIDE`] knows, widest first.
const NAMES: [(&str, Level); 4] =
    [(TILES, Level::Avx512), ("avx512", Level::Avx512), ("avx2", Level::Avx2), ("portable", Level::Baseline)];

/// What [`OVERRIDE`] names. A name that is not known limits nothing: see [`check_override`].
fn limits() -> (&'static str, Level) {
    static LIMITS: OnceLock<(&str, Level)> = OnceLock::new();
    *LIMITS.get_or_init(|| {
        let asked = std::env::var(OVERRIDE).unwrap_or_default();
        NAMES.into_iter().find(|(name, _)| *name == asked).unwrap_or(NAMES[0])
    })
}

/// The widest vectors that may be used.
pub(crate) fn limit() -> Level {
    limits().1
}

/// Whether matrix products may use tile registers.
pub(crate) fn tiles_are_allowed() -> bool {
    limits().0 == TILES
}

/// Whether [`OVERRIDE`], where it is set, names something this processor has; empty counts as unset. In f32
/// every choice gives the same bits; `portable` means portable code, which still uses fused multiply-adds where it can.
///
/// # Errors
/// [`Error::CpuOverride`] with the names that would do.
pub fn check_override() -> Result<()> {
    let Some(found) = std::env::var_os(OVERRIDE).filter(|found| !found.is_empty()) else { return Ok(()) };
    let has = |name: &str, level: Level| {
        level as u8 <= detected() as u8 && (name != TILES || crate::gemm::amx::works().is_ok())
    };
    let available = NAMES.iter().filter(|(name, level)| has(name, *level)).map(|(name, _)| *name);
    let available: Vec<&str> = available.collect();
    if available.iter().any(|name| *name == found) {
        return Ok(());
    }
    Err(Error::CpuOverride { found: found.to_string_lossy().into_owned(), available: available.join(", ") })
}
