//! A TOML document as a tree whose every key and value knows where it was written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, ProblemKind};

/// The texts a configuration is read from.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<Text>);

#[derive(Debug)]
struct Text {
    name: String,
    text: String,
    /// What relative paths in this text are relative to.
    base: PathBuf,
    is_numbered: bool,
}

/// A part of one of the texts.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    text: usize,
    span: Range<usize>,
}

/// A value with the places of its key and of itself; values made by programs have none.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) key: Option<Origin>,
    pub(super) origin: Option<Origin>,
}

/// The value of a node.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Text(String),
    Int(i128),
    Float(f64),
    Bool(bool),
    /// A date, a time, or a number of more than 38 digits: TOML that no key takes.
    Other(String),
}

impl Texts {
    pub(super) fn add(&mut self, name: String, text: String, base: PathBuf, is_numbered: bool) -> usize {
        self.0.push(Text { name, text, base, is_numbered });
        self.0.len() - 1
    }

    pub(super) fn place(&self, origin: &Origin) -> Place {
        let Text { name, text, is_numbered, .. } = &self.0[origin.text];
        Place::new(name, text, &origin.span, *is_numbered)
    }

    /// Makes a relative path absolute from the folder of the text that names it.
    pub(super) fn absolute(&self, origin: &Option<Origin>, path: &str) -> PathBuf {
        let path = PathBuf::from(path);
        let path = match origin {
            Some(origin) => self.0[origin.text].base.join(path),
            None => path,
        };
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Parses a text; all mistakes in its syntax are reported at once.
    pub(super) fn parse(&self, text: usize) -> Result<Node, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(&self.0[text].text);
        if errors.is_empty() {
            return Ok(table_node(text, &table));
        }
        let problem = |error: &toml::de::Error| Problem {
            key: String::new(),
            kind: ProblemKind::Syntax { detail: error.message().trim().replace('\n', "; ") },
            place: Some(self.place(&Origin { text, span: error.span().unwrap_or(0..0) })),
        };
        Err(errors.iter().map(problem).collect())
    }

    /// Reads `key=value`, where the value is TOML, or a plain string where that is all the key takes
    /// (`is_text` answers for a dotted key) or where it is not TOML.
    pub(super) fn parse_override(
        &mut self,
        given: &str,
        is_text: impl Fn(&str, &Value) -> bool,
    ) -> Result<Node, Vec<Problem>> {
        let text = self.add("--set".into(), given.into(), PathBuf::new(), false);
        let whole = Origin { text, span: 0..given.len() };
        let bad = |texts: &Texts| {
            let kind = ProblemKind::Override { found: given.into() };
            vec![Problem { key: String::new(), kind, place: Some(texts.place(&whole)) }]
        };
        let Some((key, value)) = given.split_once('=') else { return Err(bad(self)) };
        let parts: Vec<&str> = key.trim().split('.').collect();
        let is_key = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        if !parts.iter().all(is_key) {
            return Err(bad(self));
        }
        let value = value.trim();
        let origin = Origin { text, span: given.len() - value.len()..given.len() };
        let key_origin = Origin { text, span: 0..key.len() };
        let parsed = DeValue::parse(value).ok().map(|parsed| value_node(text, parsed.get_ref()));
        let as_text = || Value::Text(value.into());
        let value = match parsed {
            Some(Value::Text(text)) => Value::Text(text),
            Some(Value::Table(table)) => Value::Table(table),
            Some(other) if is_text(&parts.join("."), &other) => as_text(),
            Some(other) => other,
            None => as_text(),
        };
        let mut node = Node { value, key: Some(key_origin.clone()), origin: Some(origin) };
        mark(&mut node);
        for part in parts.iter().rev() {
            let table = BTreeMap::from([(part.to_string(), node)]);
            node = Node { value: Value::Table(table), key: Some(key_origin.clone()), origin: None };
        }
        Ok(node)
    }
}

/// The spans inside an override count from its value, so everything in it is placed at the whole value.
fn mark(node: &mut Node) {
    let origin = node.origin.clone();
    let children: Vec<&mut Node> = match &mut node.value {
        Value::Table(table) => table.values_mut().collect(),
        Value::List(list) => list.iter_mut().collect(),
        _ => return,
    };
    for child in children {
        child.key = origin.clone();
        child.origin = origin.clone();
        mark(child);
    }
}

fn table_node(text: usize, table: &Spanned<DeTable<'_>>) -> Node {
    Node {
        value: Value::Table(table_value(text, table.get_ref())),
        key: None,
        origin: Some(Origin { text, span: table.span() }),
    }
}

fn table_value(text: usize, table: &DeTable<'_>) -> BTreeMap<String, Node> {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| -> (String, Node) {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        let node = Node {
            value: value_node(text, value.get_ref()),
            key: Some(Origin { text, span: key.span() }),
            origin: Some(Origin { text, span: value.span() }),
        };
        (name.to_string(), node)
    };
    table.iter().map(entry).collect()
}

fn value_node(text: usize, value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(string) => Value::Text(string.to_string()),
        DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Int(integer),
            Err(_) => Value::Other(integer.to_string()),
        },
        DeValue::Float(float) => match float.as_str().parse() {
            Ok(float) => Value::Float(float),
            Err(_) => Value::Other(float.to_string()),
        },
        DeValue::Boolean(boolean) => Value::Bool(*boolean),
        DeValue::Datetime(datetime) => Value::Other(datetime.to_string()),
        DeValue::Array(array) => {
            let item = |item: &Spanned<DeValue<'_>>| {
                let origin = Some(Origin { text, span: item.span() });
                Node { value: value_node(text, item.get_ref()), key: origin.clone(), origin }
            };
            Value::List(array.iter().map(item).collect())
        }
        DeValue::Table(table) => Value::Table(table_value(text, table)),
    }
}

impl Node {
    /// An empty table.
    pub(super) fn empty() -> Node {
        Node { value: Value::Table(BTreeMap::new()), key: None, origin: None }
    }

    /// A value made by a program. JSON has no NaN and no infinity and writes both as null.
    pub(super) fn from_json(json: &serde_json::Value) -> Node {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Float(f64::NAN),
            Json::Bool(boolean) => Value::Bool(*boolean),
            Json::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(integer), _) => Value::Int(integer.into()),
                (_, Some(integer)) => Value::Int(integer.into()),
                _ => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(string) => Value::Text(string.clone()),
            Json::Array(items) => Value::List(items.iter().map(Node::from_json).collect()),
            Json::Object(object) => Value::Table(
                object.iter().map(|(key, value)| (key.clone(), Node::from_json(value))).collect(),
            ),
        };
        Node { value, key: None, origin: None }
    }

    /// Lays `over` on top: tables are merged key by key, anything else is replaced.
    pub(super) fn merge(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Table(table), Value::Table(over)) => {
                for (key, node) in over {
                    match table.get_mut(&key) {
                        Some(present) => present.merge(node),
                        None => {
                            table.insert(key, node);
                        }
                    }
                }
            }
            (value, over_value) => {
                *value = over_value;
                self.key = over.key;
                self.origin = over.origin;
            }
        }
    }

    /// The node of a dotted key.
    pub(super) fn find(&self, key: &str) -> Option<&Node> {
        key.split('.').try_fold(self, |node, part| match &node.value {
            Value::Table(table) => table.get(part),
            _ => None,
        })
    }

    /// The node without that of a dotted key.
    pub(super) fn without(&self, key: &str) -> Node {
        let mut copy = self.clone();
        let (path, last) = key.rsplit_once('.').map_or((None, key), |(path, last)| (Some(path), last));
        let table =
            path.into_iter().flat_map(|path| path.split('.')).try_fold(
                &mut copy,
                |node, part| match &mut node.value {
                    Value::Table(table) => table.get_mut(part),
                    _ => None,
                },
            );
        if let Some(Node { value: Value::Table(table), .. }) = table {
            table.remove(last);
        }
        copy
    }

    /// The dotted keys of everything in the tree, the deepest of a branch first.
    pub(super) fn keys(&self) -> Vec<String> {
        let Value::Table(table) = &self.value else { return Vec::new() };
        let mut keys = Vec::new();
        for (name, node) in table {
            keys.extend(node.keys().into_iter().map(|key| format!("{name}.{key}")));
            keys.push(name.clone());
        }
        keys
    }

    /// The tree as the value that serde reads; integers that do not fit have been refused before.
    pub(super) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Table(table) => {
                toml::Value::Table(table.iter().map(|(key, node)| (key.clone(), node.to_toml())).collect())
            }
            Value::List(list) => toml::Value::Array(list.iter().map(Node::to_toml).collect()),
            Value::Text(text) | Value::Other(text) => toml::Value::String(text.clone()),
            Value::Int(integer) => toml::Value::Integer(i64::try_from(*integer).unwrap_or(i64::MAX)),
            Value::Float(float) => toml::Value::Float(*float),
            Value::Bool(boolean) => toml::Value::Boolean(*boolean),
        }
    }

    /// The value in words, with its type.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Table(_) => "a table".into(),
            Value::List(_) => "a list".into(),
            Value::Text(text) => {
                let shown: String = text.chars().take(60).collect();
                format!("the string {shown:?}{}", if shown.len() < text.len() { " and more" } else { "" })
            }
            Value::Int(_) => format!("the integer {}", self.show()),
            Value::Float(_) => format!("the number {}", self.show()),
            Value::Bool(boolean) => format!("the boolean {boolean}"),
            Value::Other(text) => format!("`{}`", text.chars().take(60).collect::<String>()),
        }
    }

    /// The value alone.
    pub(super) fn show(&self) -> String {
        match &self.value {
            Value::Int(integer) => integer.to_string(),
            // `Debug` writes large and small numbers with an exponent.
            Value::Float(float) => format!("{float:?}"),
            Value::Text(text) => format!("\"{}\"", text.chars().take(60).collect::<String>().escape_debug()),
            _ => self.describe(),
        }
    }
}
