//! The table of registers, shared memory and spills in the guide.

use std::fmt::Write;

use serde_json::Value;

use super::sources::Sources;
use super::usage::Usage;

/// Between these lines of the guide stands the table.
pub const MARKERS: [&str; 2] = ["<!-- kernels: begin -->", "<!-- kernels: end -->"];

/// One row a kernel.
pub fn table(sources: &Sources, manifest: &Value) -> String {
    let mut text = String::from(
        "| kernel | file | threads | registers sm_80 / sm_90 / sm_100 / sm_120 | static shared memory | spills |\n\
         |---|---|---|---|---|---|\n",
    );
    for family in &sources.families {
        for kernel in &family.kernels {
            let needs = &manifest["families"][&family.name]["kernels"][&kernel.name];
            let usages: Vec<Usage> = family
                .targets
                .iter()
                .filter(|target| target.starts_with("sm_"))
                .map(|target| Usage::from_json(&needs[*target]))
                .collect();
            let registers: Vec<String> = usages.iter().map(|usage| usage.registers.to_string()).collect();
            let most = |part: fn(&Usage) -> u64| usages.iter().map(part).max().unwrap_or_default();
            let _ = writeln!(
                text,
                "| `{}` | {}.cu | {} | {} | {} B | {} B |",
                kernel.name,
                family.name,
                kernel.threads,
                registers.join(" / "),
                most(|usage| usage.shared),
                most(|usage| usage.spill_stores + usage.spill_loads),
            );
        }
    }
    text
}

/// The guide with this table; `None` if its marker lines are not there.
pub fn replace(guide: &str, table: &str) -> Option<String> {
    let [begin, end] = MARKERS;
    let (before, rest) = guide.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_replaced_between_its_markers() {
        let [begin, end] = MARKERS;
        let guide = format!("before\n{begin}\nold\n{end}\nafter\n");
        let new = replace(&guide, "| new |\n").unwrap();
        assert_eq!(new, format!("before\n{begin}\n| new |\n{end}\nafter\n"));
        assert_eq!(replace(&new, "| new |\n"), Some(new));
        assert_eq!(replace("nothing", "x"), None);
    }
}
