//! Kernels compiled when they are first wanted: `SEQWEAVE_KERNELS=jit`, a switch for whoever writes kernels.
//!
//! Without it the images that are built in are loaded, and nothing here is asked. With it a family is compiled from its
//! `.cu` file by NVRTC, with the options of `cargo xtask kernels build`, so that an edit shows at the next start. What was
//! compiled is kept by the hash of sources, options, compiler and architecture.

use crate::{Error, Result};
use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::sys;
use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// `jit`, or nothing.
const SWITCH: &str = "SEQWEAVE_KERNELS";
/// The folder with the sources; `kernels/cu`, as seen from the root of the repository, unless said otherwise.
const SOURCES: &str = "SEQWEAVE_KERNELS_SOURCE";
/// The folder that keeps what was compiled; `target/kernels/jit` unless said otherwise.
const CACHE: &str = "SEQWEAVE_KERNELS_CACHE";
/// The path of the NVRTC library, where the loader does not find it.
const LIBRARY: &str = "SEQWEAVE_NVRTC_LIBRARY";

/// As `xtask/src/kernels/nvrtc.rs` has them, but for the compiler's report.
const OPTIONS: [&str; 2] = ["--std=c++17", "--fmad=false"];

/// The image of `family` for a device of compute capability `major.minor`, if kernels are compiled here.
///
/// # Errors
/// [`Error::Jit`]
pub(super) fn image(family: &'static str, (major, minor): (u32, u32)) -> Result<Option<Vec<u8>>> {
    if !wanted()? {
        return Ok(None);
    }
    let sources = folder(SOURCES, "kernels/cu");
    let text = read(&sources.join(format!("{family}.cu")))?;
    let prelude = read(&sources.join("prelude.cuh"))?;
    let compiler = version()?;
    let architecture = format!("--gpu-architecture=sm_{major}{minor}");
    let key = hash(&[&text, &prelude, &architecture, &OPTIONS.join(" "), &compiler]);
    let kept =
        folder(CACHE, "target/kernels/jit").join(format!("{family}-sm_{major}{minor}-{key:032x}.cubin"));
    if let Ok(image) = std::fs::read(&kept) {
        return Ok(Some(image));
    }
    let image = compile(family, &text, &sources, &architecture)?;
    keep(&kept, &image).map_err(|error| jit(format!("{}: {error}", kept.display())))?;
    Ok(Some(image))
}

/// Whether kernels are compiled here.
///
/// # Errors
/// [`Error::Jit`] where the environment says neither.
pub(super) fn wanted() -> Result<bool> {
    match std::env::var(SWITCH).as_deref() {
        Err(_) | Ok("" | "built-in") => Ok(false),
        Ok("jit") => Ok(true),
        Ok(found) => Err(jit(format!("{SWITCH}: expected jit or built-in, found `{found}`"))),
    }
}

fn folder(variable: &str, otherwise: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| otherwise.into(), PathBuf::from)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        jit(format!("{}: {error}; {SOURCES} names the folder of the sources", path.display()))
    })
}

/// Written beside and renamed, so that no other process reads half of it.
fn keep(path: &Path, image: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&beside, image)?;
    std::fs::rename(beside, path)
}

/// The compiler's version; its library is opened first.
fn version() -> Result<String> {
    /// What opening the library that is named came to; it stays open, so that `cudarc` finds it by its name.
    static NAMED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let named = NAMED.get_or_init(|| match std::env::var_os(LIBRARY) {
        None => Ok(()),
        // SAFETY: the library's initialisers run; whoever sets the variable names a compiler.
        Some(path) => match unsafe { libloading::Library::new(&path) } {
            Ok(library) => {
                std::mem::forget(library);
                Ok(())
            }
            Err(error) => {
                // The loader's own words stand behind those of the crate that asked it.
                let reason = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
                Err(format!("{LIBRARY}: {}: {reason}", path.display()))
            }
        },
    });
    named.clone().map_err(jit)?;
    // SAFETY: the library is searched for, and its initialisers run.
    if !unsafe { sys::is_culib_present() } {
        return Err(jit(format!("no NVRTC library was found; {LIBRARY} can name one")));
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, and both numbers live through the call.
    unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result().map_err(said("asking for its version"))?;
    Ok(format!("NVRTC {major}.{minor}"))
}

/// A program that is destroyed when it goes out of scope.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: it was created here and is destroyed once.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

fn compile(family: &str, text: &str, sources: &Path, architecture: &str) -> Result<Vec<u8>> {
    let words = |text: &str| CString::new(text).map_err(|_| jit(format!("{family}.cu holds a zero byte")));
    let (text, name) = (words(text)?, words(&format!("{family}.cu"))?);
    let program = Program(result::create_program(&text, Some(&name)).map_err(said("making a program"))?);
    let include = format!("--include-path={}", sources.display());
    let options = [OPTIONS[0], OPTIONS[1], architecture, &include];
    // SAFETY: the program was just created.
    if let Err(error) = unsafe { result::compile_program(program.0, &options) } {
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(program.0) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|c| c as u8).take_while(|&c| c != 0).collect();
        return Err(jit(format!("{family}.cu: {error:?}\n{}", String::from_utf8_lossy(&log).trim_end())));
    }
    let mut size = 0;
    // SAFETY: the program was compiled for one architecture, so there is a cubin; `size` lives through the call.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &mut size) }.result().map_err(said("asking for the image"))?;
    let mut image = vec![0u8; size];
    // SAFETY: the image has the size that the library named.
    unsafe { sys::nvrtcGetCUBIN(program.0, image.as_mut_ptr().cast::<c_char>()) }
        .result()
        .map_err(said("asking for the image"))?;
    Ok(image)
}

/// FNV-1a over the texts, each with its length, in 128 bits: it tells versions apart, and guards against nobody.
fn hash(texts: &[&str]) -> u128 {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut push = |byte: u8| {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    };
    for text in texts {
        text.len().to_le_bytes().into_iter().for_each(&mut push);
        text.bytes().for_each(&mut push);
    }
    hash
}

fn jit(reason: String) -> Error {
    Error::Jit { reason }
}

fn said(what: &'static str) -> impl Fn(NvrtcError) -> Error {
    move |error| jit(format!("NVRTC, {what}: {error:?}"))
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn a_hash_sees_every_byte_and_every_border() {
        let all = [hash(&["ab", "c"]), hash(&["a", "bc"]), hash(&["ab", "d"]), hash(&["ab"]), hash(&[])];
        for (i, one) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|other| other != one), "{i}");
        }
        assert_eq!(hash(&["ab", "c"]), all[0]);
    }
}
