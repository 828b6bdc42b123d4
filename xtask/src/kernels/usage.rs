//! What a kernel needs of a multiprocessor, read from the compiler's log.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Registers, memory and spills of one kernel for one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Registers a thread.
    pub registers: u64,
    /// Static shared memory of a block, in bytes.
    pub shared: u64,
    /// Bytes of local memory a thread, spills included.
    pub stack: u64,
    /// Bytes written because registers ran out.
    pub spill_stores: u64,
    /// Bytes read back.
    pub spill_loads: u64,
}

impl Usage {
    /// As in the manifest.
    pub fn to_json(self) -> Value {
        let Usage { registers, shared, stack, spill_stores, spill_loads } = self;
        json!({"registers": registers, "shared": shared, "stack": stack, "spill_stores": spill_stores, "spill_loads": spill_loads})
    }

    /// The reverse; missing numbers are 0.
    pub fn from_json(value: &Value) -> Self {
        let number = |key: &str| value[key].as_u64().unwrap_or_default();
        Usage {
            registers: number("registers"),
            shared: number("shared"),
            stack: number("stack"),
            spill_stores: number("spill_stores"),
            spill_loads: number("spill_loads"),
        }
    }
}

/// Kernel name → usage, from the log of `--ptxas-options=-v`; empty for PTX, whose registers the driver assigns.
pub fn parse(log: &str) -> BTreeMap<String, Usage> {
    let mut found: BTreeMap<String, Usage> = BTreeMap::new();
    let mut name = None;
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            name = rest.split('\'').next().map(str::to_string);
            found.extend(name.clone().map(|name| (name, Usage::default())));
            continue;
        }
        let Some(usage) = name.as_ref().and_then(|name| found.get_mut(name)) else { continue };
        if let Some((_, rest)) = line.split_once(": Used ") {
            for part in rest.split(", ") {
                match part.split_whitespace().collect::<Vec<_>>()[..] {
                    [n, "registers"] => usage.registers = n.parse().unwrap_or(u64::MAX),
                    [n, "bytes", "smem"] => usage.shared = n.parse().unwrap_or(u64::MAX),
                    _ => {}
                }
            }
        } else if line.contains("bytes stack frame") {
            for part in line.split(", ") {
                match part.split_whitespace().collect::<Vec<_>>()[..] {
                    [n, "bytes", "stack", "frame"] => usage.stack = n.parse().unwrap_or(u64::MAX),
                    [n, "bytes", "spill", "stores"] => usage.spill_stores = n.parse().unwrap_or(u64::MAX),
                    [n, "bytes", "spill", "loads"] => usage.spill_loads = n.parse().unwrap_or(u64::MAX),
                    _ => {}
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read() {
        let log = "ptxas info    : 0 bytes gmem\n\
                   ptxas info    : Compiling entry function 'axpy' for 'sm_80'\n\
                   ptxas info    : Function properties for axpy\n    \
                   8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\n\
                   ptxas info    : Used 94 registers, used 1 barriers, 33792 bytes smem, 384 bytes cmem[0]\n\
                   ptxas info    : Compiling entry function 'other' for 'sm_80'\n\
                   ptxas info    : Function properties for other\n    \
                   0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
                   ptxas info    : Used 10 registers, 384 bytes cmem[0]\n";
        let found = parse(log);
        let axpy = Usage { registers: 94, shared: 33792, stack: 8, spill_stores: 4, spill_loads: 12 };
        assert_eq!(found["axpy"], axpy);
        assert_eq!(found["other"], Usage { registers: 10, ..Usage::default() });
        assert_eq!(found.len(), 2);
        assert_eq!(Usage::from_json(&axpy.to_json()), axpy);
        assert!(parse("").is_empty());
    }
}
