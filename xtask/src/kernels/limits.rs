//! `kernels/limits.toml`: what a kernel may need.

use std::path::Path;

use super::usage::Usage;
use crate::error::{Error, Result};

/// The most a kernel may need, by name, and what holds for the others.
#[derive(Debug)]
pub struct Limits {
    default: Limit,
    kernels: Vec<(String, Limit)>,
}

/// The most that one kernel may need. Spills are never allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    registers: u64,
    shared: u64,
    stack: u64,
}

impl Limits {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("reading", path))?;
        Self::parse(&text).map_err(|expected| Error::Content { path: path.into(), expected })
    }

    /// The tables `default` and `kernels.NAME`, or what was expected.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| error.message().to_string())?;
        let full = |table: &toml::Value, base: Limit| {
            let mut limit = base;
            for (key, value) in table.as_table().ok_or("tables of numbers")? {
                let place = match &**key {
                    "registers" => &mut limit.registers,
                    "shared" => &mut limit.shared,
                    "stack" => &mut limit.stack,
                    _ => return Err(format!("registers, shared or stack, not `{key}`")),
                };
                *place = value
                    .as_integer()
                    .and_then(|n| n.try_into().ok())
                    .ok_or(format!("a whole number for `{key}`"))?;
            }
            Ok(limit)
        };
        let none = Limit { registers: 0, shared: 0, stack: 0 };
        let default = full(table.get("default").ok_or("a table `default`")?, none)?;
        let mut kernels = Vec::new();
        for (key, value) in &table {
            match &**key {
                "default" => {}
                "kernels" => {
                    for (name, limit) in value.as_table().ok_or("tables `kernels.NAME`")? {
                        kernels.push((name.clone(), full(limit, default)?));
                    }
                }
                _ => return Err(format!("the tables `default` and `kernels.NAME`, not `{key}`")),
            }
        }
        Ok(Limits { default, kernels })
    }

    /// Kernels that have a limit of their own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kernels.iter().map(|(name, _)| &**name)
    }

    /// What is too much about a kernel's needs.
    pub fn broken(&self, kernel: &str, target: &str, usage: &Usage) -> Vec<String> {
        let own = self.kernels.iter().find(|(name, _)| name == kernel);
        let limit = own.map_or(self.default, |(_, limit)| *limit);
        let rows = [
            ("registers a thread", usage.registers, limit.registers),
            ("bytes of static shared memory", usage.shared, limit.shared),
            ("bytes of local memory a thread", usage.stack, limit.stack),
            ("bytes of spill stores", usage.spill_stores, 0),
            ("bytes of spill loads", usage.spill_loads, 0),
        ];
        rows.into_iter()
            .filter(|(_, found, limit)| found > limit)
            .map(|(what, found, limit)| format!("{kernel}, {target}: {found} {what}, at most {limit}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "[default]\nregisters = 64\nshared = 1024\nstack = 0\n[kernels.big]\nregisters = 200\n";

    #[test]
    fn limits_hold() {
        let limits = Limits::parse(TEXT).unwrap();
        let needs = |registers, spill_loads| Usage { registers, spill_loads, ..Usage::default() };
        assert!(limits.broken("small", "sm_80", &needs(64, 0)).is_empty());
        assert_eq!(
            limits.broken("small", "sm_80", &needs(65, 4)),
            [
                "small, sm_80: 65 registers a thread, at most 64",
                "small, sm_80: 4 bytes of spill loads, at most 0"
            ]
        );
        assert!(limits.broken("big", "sm_80", &needs(200, 0)).is_empty());
        let shared = Usage { shared: 1025, ..Usage::default() };
        assert_eq!(limits.broken("big", "sm_80", &shared).len(), 1);
        assert_eq!(limits.names().collect::<Vec<_>>(), ["big"]);
    }

    #[test]
    fn a_wrong_file_is_explained() {
        let rows = [
            ("", "a table `default`"),
            ("[default]\nregister = 1", "not `register`"),
            ("[default]\nregisters = -1", "a whole number for `registers`"),
            ("[default]\n[kernel.x]", "not `kernel`"),
        ];
        for (text, want) in rows {
            let error = Limits::parse(text).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
