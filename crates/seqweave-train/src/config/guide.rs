//! The guide to the configuration, and its JSON schema, made from the structs.

use serde_json::Value as Json;

use super::Config;
use super::shape::{Field, Shape, Word, closest, join};
use super::tree::Node;

/// The JSON schema of the configuration, for editors that complete and check TOML.
pub fn json_schema() -> String {
    let mut schema = schemars::schema_for!(Config).to_value();
    let mut defaults = Vec::new();
    collect_defaults(
        &mut defaults,
        &schema,
        "",
        &Config::default().to_node().map_or(Json::Null, |node| json(&node)),
    );
    for (pointer, value) in defaults {
        if let Some(property) = schema.pointer_mut(&pointer).and_then(Json::as_object_mut) {
            property.insert("default".into(), value);
        }
    }
    // A schema is made of strings and numbers, which JSON always holds.
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

/// The default of every key, by the place of the key in the schema: a section of another crate has the defaults of a
/// training run, not those of that crate.
fn collect_defaults(found: &mut Vec<(String, Json)>, schema: &Json, table: &str, defaults: &Json) {
    for (name, value) in defaults.as_object().into_iter().flatten() {
        let property = format!("{table}/properties/{name}");
        let section = schema.pointer(&property).and_then(|property| property["$ref"].as_str());
        if let Some(section) = section.and_then(|section| section.strip_prefix('#')) {
            collect_defaults(found, schema, section, value);
        }
        found.push((property, value.clone()));
    }
}

fn json(node: &Node) -> Json {
    serde_json::to_value(node.to_toml()).unwrap_or_default()
}

/// One key of the configuration, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key with its tables, dotted.
    pub key: String,
    /// What it means.
    pub meaning: String,
    /// What it takes.
    pub values: String,
    /// Its default as TOML, or `none`.
    pub default: String,
    /// The words it takes that have a meaning of their own, each with that meaning.
    pub words: Vec<(String, String)>,
}

/// Every key of the configuration, in the order of the guide.
pub fn keys() -> Vec<Key> {
    let Shape::Table(fields) = Shape::of_config() else { return Vec::new() };
    let (mut rows, defaults) = (Vec::new(), defaults());
    let (sections, plain): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(is_section);
    plain.into_iter().chain(sections).for_each(|field| collect_rows(&mut rows, field, &field.name));
    let plain = |text: &str| text.replace('`', "");
    let word = |Word { name, doc }: &Word| (name.clone(), plain(doc));
    let key = |(key, Field { doc, shape, .. }): (String, &Field)| Key {
        meaning: plain(doc),
        values: plain(&values(shape)),
        default: plain(&default_of(&defaults, &key)),
        words: explained(shape).into_iter().map(word).collect(),
        key,
    };
    rows.into_iter().map(key).collect()
}

/// Keys that a misspelt one may be meant for, the likeliest first: those of the same last name, or the nearest in spelling.
pub fn suggested_keys(given: &str) -> Vec<String> {
    let keys: Vec<String> = keys().into_iter().map(|known| known.key).collect();
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let named = |name: &str| keys.iter().filter(|key| last(key) == name).cloned().collect::<Vec<_>>();
    let same = named(&last(given));
    if !same.is_empty() {
        return same;
    }
    let tables = keys.iter().filter_map(|key| key.rsplit_once('.')).map(|(table, _)| table);
    if let Some(key) = closest(given, keys.iter().map(String::as_str).chain(tables)) {
        return vec![key];
    }
    let names: Vec<String> = keys.iter().map(|key| last(key)).collect();
    closest(&last(given), names.iter().map(String::as_str)).map_or(Vec::new(), |name| named(&name))
}

/// The defaults of every key. Paths stay relative here, as they are before a file is read.
fn defaults() -> toml::Value {
    Config::default().to_node().unwrap_or_else(|_| Node::empty()).to_toml()
}

fn is_section(field: &&Field) -> bool {
    matches!(field.shape, Shape::Table(_))
}

/// The text of `docs/guide/config.md`: a table for each section, with every key.
pub fn render_guide() -> String {
    let mut text = String::from(INTRODUCTION);
    let Shape::Table(fields) = Shape::of_config() else { return text };
    let defaults = defaults();
    let (sections, plain): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(is_section);
    text.push_str("\n## At the top\n\n");
    render_section(&mut text, plain.into_iter(), "", &defaults);
    for section in sections {
        let Shape::Table(fields) = &section.shape else { continue };
        text.push_str(&format!("\n## `[{}]`\n\n{}\n\n", section.name, section.doc));
        render_section(&mut text, fields.iter(), &section.name, &defaults);
    }
    text
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the structs in crates/seqweave-train/src/config; `SEQWEAVE_UPDATE_DOCS=1 cargo test -p seqweave-train guide` rewrites it. -->

A training run is described by one TOML file.
Every key has a default except `data.train`.
An unknown key, a wrong type or a value out of range is an error that shows the line; all errors are shown at once.
Several files are merged key by key, later ones win, and `--set key=value` wins over files.
Relative paths are relative to the file that names them.
";

fn render_section<'a>(
    text: &mut String,
    fields: impl Iterator<Item = &'a Field>,
    table: &str,
    defaults: &toml::Value,
) {
    let mut rows = Vec::new();
    for field in fields {
        collect_rows(&mut rows, field, &join(table, &field.name));
    }
    text.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for (key, field) in &rows {
        let default = default_of(defaults, key);
        text.push_str(&format!(
            "| `{key}` | {} | {default} | {} |\n",
            values(&field.shape),
            cell(&field.doc)
        ));
    }
    // Keys with the same words, such as those of source and target, are explained together.
    let mut explanations: Vec<(Vec<&str>, Vec<&Word>)> = Vec::new();
    for (key, field) in &rows {
        let words = explained(&field.shape);
        let is_same =
            |known: &Vec<&Word>| known.iter().map(|word| &word.doc).eq(words.iter().map(|word| &word.doc));
        match explanations.iter_mut().find(|(_, known)| is_same(known)) {
            _ if words.is_empty() => {}
            Some((keys, _)) => keys.push(key),
            None => explanations.push((vec![key], words)),
        }
    }
    for (keys, words) in explanations {
        let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        text.push_str(&format!("\n{}:\n\n", keys.join(", ")));
        for Word { name, doc } in words {
            text.push_str(&format!("- `{name}`: {doc}\n"));
        }
    }
}

/// Nested tables become dotted keys; a table that is only one of several forms of a value is part of that value.
fn collect_rows<'a>(rows: &mut Vec<(String, &'a Field)>, field: &'a Field, key: &str) {
    match &field.shape {
        Shape::Table(fields) => {
            for field in fields {
                collect_rows(rows, field, &join(key, &field.name));
            }
        }
        _ => rows.push((key.into(), field)),
    }
}

fn values(shape: &Shape) -> String {
    match shape {
        Shape::Choice(words) => {
            words.iter().map(|word| format!("`{}`", word.name)).collect::<Vec<_>>().join(", ")
        }
        Shape::List(item) => format!("list of {}", values(item)),
        Shape::Either(alternatives) => alternatives.iter().map(values).collect::<Vec<_>>().join(" or "),
        Shape::Table(fields) => {
            let field = |field: &Field| format!("`{}` ({})", field.name, values(&field.shape));
            format!("table with {}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        shape => cell(&shape.to_string()),
    }
}

fn explained(shape: &Shape) -> Vec<&Word> {
    match shape {
        Shape::Choice(words) => words.iter().filter(|word| !word.doc.is_empty()).collect(),
        Shape::List(item) => explained(item),
        Shape::Either(alternatives) => alternatives.iter().flat_map(explained).collect(),
        _ => Vec::new(),
    }
}

fn default_of(defaults: &toml::Value, key: &str) -> String {
    match key.split('.').try_fold(defaults, |value, part| value.get(part)) {
        None => "none".into(),
        Some(toml::Value::String(text)) if text.is_empty() => "none".into(),
        // `Debug` writes small numbers with an exponent.
        Some(toml::Value::Float(number)) => format!("`{number:?}`"),
        Some(value) => format!("`{value}`"),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_on_disk_is_made_from_the_structs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/config.md");
        let guide = render_guide();
        if std::env::var_os("SEQWEAVE_UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            std::fs::write(path, &guide).unwrap();
        }
        let on_disk = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            guide == on_disk,
            "docs/guide/config.md is not what the structs say; run \
             SEQWEAVE_UPDATE_DOCS=1 cargo test -p seqweave-train guide"
        );
    }

    #[test]
    fn every_key_is_explained_and_ends_as_a_sentence() {
        let guide = render_guide();
        let rows: Vec<&str> = guide.lines().filter(|line| line.starts_with("| `")).collect();
        assert!(rows.len() > 50, "{guide}");
        for row in rows {
            let meaning = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            assert!(meaning.len() > 10 && meaning.ends_with('.'), "{row}");
        }
    }

    #[test]
    fn every_row_of_the_guide_is_a_key() {
        let guide = render_guide();
        let rows: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("| `")).collect();
        let keys = keys();
        assert!(
            rows.iter().map(|row| row.split('`').next().unwrap()).eq(keys.iter().map(|key| &key.key[..]))
        );
        let key = |name: &str| keys.iter().find(|key| key.key == name).unwrap();
        assert_eq!((&key("seed").default[..], key("seed").words.len()), ("1", 0));
        assert_eq!(
            (&key("model.cell").values[..], &key("model.cell").default[..]),
            ("rnn, lstm, gru", "\"lstm\"")
        );
        assert!(
            key("data.tgt.level").words.iter().any(|(word, meaning)| word == "char" && meaning.len() > 20)
        );
    }

    #[test]
    fn the_schema_is_json_with_every_section() {
        let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
        for section in ["data", "model", "train", "valid", "checkpoint", "decode", "run"] {
            assert!(schema["properties"].get(section).is_some(), "{section}");
        }
        assert_eq!(schema["additionalProperties"], false);
        let beam = &schema["$defs"]["SearchOptions"]["properties"]["beam"];
        assert_eq!((&beam["default"], &beam["maximum"]), (&5.into(), &1024.into()), "{beam}");
        assert_eq!(schema["$defs"]["ModelConfig"]["properties"]["dropout"]["default"], 0.2);
    }
}
