//! Whether this process may multiply on the tile registers of the processor, and whether they multiply as they should.

use super::{Format, Isa, Operand, Packed, Start, Unit, run};
use crate::level::{OVERRIDE, tiles_are_allowed};
use crate::{CpuDevice, Device, Float, Trans};
use std::sync::OnceLock;

/// Whether products in bfloat16 are made on the registers, or in a few words why not.
pub(crate) fn usable() -> &'static Result<(), String> {
    static USABLE: OnceLock<Result<(), String>> = OnceLock::new();
    USABLE.get_or_init(|| {
        if tiles_are_allowed() { works().clone() } else { Err(format!("{OVERRIDE} keeps them out of use")) }
    })
}

/// Whether the registers are there, open to this process, and right; whatever the environment says.
pub(crate) fn works() -> &'static Result<(), String> {
    static WORKS: OnceLock<Result<(), String>> = OnceLock::new();
    WORKS.get_or_init(|| open().clone().and_then(|()| checked(Unit::Amx)))
}

/// Whether the registers are there and open to this process, which is asked for once.
pub(super) fn open() -> &'static Result<(), String> {
    static OPEN: OnceLock<Result<(), String>> = OnceLock::new();
    OPEN.get_or_init(|| present().and_then(|()| permitted()))
}

/// Whether the processor has the registers and their products of bfloat16.
#[cfg(all(target_arch = "x86_64", not(seqweave_f64)))]
fn present() -> Result<(), String> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    let features = if __cpuid(0).eax < 7 { 0 } else { __cpuid_count(7, 0).edx };
    if features & (BF16 | TILE) == BF16 | TILE {
        return Ok(());
    }
    Err("this processor has no AMX-BF16".to_owned())
}

#[cfg(not(all(target_arch = "x86_64", not(seqweave_f64))))]
fn present() -> Result<(), String> {
    Err("this build has no kernels for AMX".to_owned())
}

/// Asks the system to keep the registers of this process's threads, which Linux does only on request.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn permitted() -> Result<(), String> {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let answer: i64;
    // SAFETY: the call reads and writes no memory of ours; it changes what the kernel keeps of a thread.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if answer == 0 {
        return Ok(());
    }
    Err(format!(
        "the system refuses the tile registers: {}",
        std::io::Error::from_raw_os_error(-answer as i32)
    ))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn permitted() -> Result<(), String> {
    Err("tile registers are asked for on Linux alone".to_owned())
}

/// Whether `unit` multiplies as its twin does: integers of nine bits, whose sums are exact in any order.
fn checked(unit: Unit) -> Result<(), String> {
    let Device::Cpu(cpu) = Device::cpu() else { unreachable!("`Device::cpu` is the CPU") };
    for format in [Format::Tiles, |unit| Format::Split(unit, super::PARTS)] {
        if integers(&cpu, format(unit)) != integers(&cpu, format(Unit::Twin)) {
            return Err("a product of integers came out wrong".to_owned());
        }
    }
    Ok(())
}

/// A product with whole tiles and edges on every side. Too small to be cut into tasks.
fn integers(cpu: &CpuDevice, format: Format) -> Vec<Float> {
    let (m, n, k) = (53, 75, 70);
    let values =
        |n: usize, step: usize| -> Vec<Float> { (0..n).map(|i| (i * step % 601) as Float - 300.0).collect() };
    let (a, b, mut c) = (values(m * k, 89), values(k * n, 151), values(m * n, 7));
    let packed = Packed::of(Isa::best(), format, cpu, Operand::new(&b, n, Trans::N), k, n);
    run(m, Operand::new(&a, k, Trans::N), &packed, Start::Result, &mut c, n);
    c
}

#[cfg(all(test, not(seqweave_f64)))]
mod tests {
    use super::*;

    /// What the check relies on: rounded operands in f32 kernels give the same integers, and so do f32 ones if no bit of
    /// nine is lost in two parts.
    #[test]
    fn the_check_is_exact() {
        let Device::Cpu(cpu) = Device::cpu() else { unreachable!("`Device::cpu` is the CPU") };
        assert_eq!(integers(&cpu, Format::Tiles(Unit::Twin)), integers(&cpu, Format::Rounded));
        assert_eq!(checked(Unit::Twin), Ok(()));
    }

    #[test]
    fn there_is_a_reason_where_there_are_no_registers() {
        match usable() {
            Ok(()) => assert_eq!(works(), &Ok(())),
            Err(reason) => assert!(!reason.is_empty()),
        }
    }
}
