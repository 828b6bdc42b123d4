//! What the configuration structs accept, read from their JSON schema, and the check of a tree against it.

use std::fmt;
use std::sync::LazyLock;

use seqweave_data::{BatchConfig, DataConfig, FilterConfig, SamplingConfig, SideConfig, SplitConfig};
use seqweave_nn::{GroupConfig, OptimizerConfig, ScheduleConfig};
use seqweave_seq2seq::search::{MaxLen, Sampling, SearchOptions};
use seqweave_seq2seq::{DecoderConfig, EncoderConfig, FeaturesConfig, ModelConfig};
use serde::de::{DeserializeOwned, Visitor};
use serde_json::Value as Json;

use super::problem::{Problem, ProblemKind};
use super::sections::*;
use super::tree::{Node, Origin, Texts, Value};

/// What a key accepts.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Table(Vec<Field>),
    Choice(Vec<Word>),
    Text { is_path: bool },
    Int { min: i128, max: i128 },
    Float(Range),
    Bool,
    List(Box<Shape>),
    Either(Vec<Shape>),
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// One word of a choice.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) name: String,
    pub(super) doc: String,
}

/// A range of floating-point numbers; infinite bounds are no bounds, and infinite numbers are never in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    min: f64,
    max: f64,
    min_excluded: bool,
    max_excluded: bool,
    /// Whether the number is kept as `f32`: what counts is what it becomes then.
    is_single: bool,
}

impl Shape {
    /// The shape of [`Config`].
    pub(super) fn of_config() -> &'static Shape {
        static SHAPE: LazyLock<Shape> = LazyLock::new(|| {
            let schema = schemars::schema_for!(Config).to_value();
            build(&schema, &schema)
        });
        &SHAPE
    }

    /// The shape of a dotted key.
    pub(super) fn find(&self, key: &str) -> Option<&Shape> {
        key.split('.')
            .try_fold(self, |shape, part| shape.tables().flatten().find(|f| f.name == part).map(|f| &f.shape))
    }

    /// The tables this shape may be.
    fn tables(&self) -> impl Iterator<Item = &Vec<Field>> {
        let alternatives = match self {
            Shape::Either(alternatives) => &alternatives[..],
            shape => std::slice::from_ref(shape),
        };
        alternatives.iter().filter_map(|shape| match shape {
            Shape::Table(fields) => Some(fields),
            _ => None,
        })
    }

    /// Whether a plain string is all that this shape takes, apart from tables and lists.
    pub(super) fn is_text(&self) -> bool {
        match self {
            Shape::Text { .. } | Shape::Choice(_) => true,
            Shape::Either(alternatives) => alternatives
                .iter()
                .all(|shape| shape.is_text() || matches!(shape, Shape::Table(_) | Shape::List(_))),
            _ => false,
        }
    }

    /// Whether values of this type are taken, whatever is in them.
    pub(super) fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (Shape::Table(_), Value::Table(_))
            | (Shape::Choice(_) | Shape::Text { .. }, Value::Text(_))
            | (Shape::Int { .. }, Value::Int(_))
            | (Shape::Float(_), Value::Int(_) | Value::Float(_))
            | (Shape::Bool, Value::Bool(_))
            | (Shape::List(_), Value::List(_)) => true,
            (Shape::Either(alternatives), value) => alternatives.iter().any(|shape| shape.admits(value)),
            _ => false,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Table(fields) => {
                let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                write!(f, "a table with the keys {}", names.join(", "))
            }
            Shape::Choice(words) => {
                let names: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.name)).collect();
                f.write_str(&names.join(", "))
            }
            Shape::Text { is_path: true } => f.write_str("a path"),
            Shape::Text { is_path: false } => f.write_str("a string"),
            Shape::Int { min, max } if min == max => write!(f, "the integer {min}"),
            Shape::Int { min, max } if *max >= i64::MAX as i128 => {
                write!(f, "an integer from {min} to 2^63-1")
            }
            Shape::Int { min, max } => write!(f, "an integer from {min} to {max}"),
            Shape::Float(range) => write!(f, "{range}"),
            Shape::Bool => f.write_str("true or false"),
            Shape::List(item) => write!(f, "a list of {item}"),
            Shape::Either(alternatives) => {
                let all: Vec<String> = alternatives.iter().map(Shape::to_string).collect();
                f.write_str(&all.join(", or "))
            }
        }
    }
}

impl Range {
    fn contains(&self, given: f64) -> bool {
        let x = if self.is_single { f64::from(given as f32) } else { given };
        if x == 0.0 && given != 0.0 {
            // Zero often means something of its own; a tiny number must not turn into it unseen.
            return false;
        }
        let above = if self.min_excluded { x > self.min } else { x >= self.min };
        let below = if self.max_excluded { x < self.max } else { x <= self.max };
        x.is_finite() && above && below
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")?;
        if self.min.is_finite() {
            write!(f, " {}{}", if self.min_excluded { "above " } else { "from " }, self.min)?;
        }
        if self.max.is_finite() {
            write!(f, " {}{}", if self.max_excluded { "to below " } else { "to " }, self.max)?;
        }
        Ok(())
    }
}

/// Builds the shape of a schema; `root` holds the definitions it refers to.
fn build(schema: &Json, root: &Json) -> Shape {
    if let Some(reference) = schema["$ref"].as_str() {
        let definition = reference.trim_start_matches('#');
        let name = definition.rsplit('/').next().unwrap_or_default();
        return ordered(build(&root.pointer(definition).cloned().unwrap_or_default(), root), name);
    }
    if let Some(alternatives) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        return either(alternatives, root);
    }
    if let Some(words) = schema["enum"].as_array() {
        let word = |word: &Json| Word { name: word.as_str().unwrap_or_default().into(), doc: String::new() };
        return Shape::Choice(words.iter().map(word).collect());
    }
    if schema.get("const").is_some() {
        return Shape::Choice(vec![word(schema)]);
    }
    let kind = match &schema["type"] {
        // An optional key may be `null` in JSON; TOML leaves it out.
        Json::Array(kinds) => {
            kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or_default()
        }
        kind => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "object" => ordered(Shape::Table(fields(schema, root)), schema["title"].as_str().unwrap_or_default()),
        "array" => Shape::List(Box::new(build(&schema["items"], root))),
        "boolean" => Shape::Bool,
        "integer" => Shape::Int {
            min: integer(&schema["minimum"]).unwrap_or(i64::MIN.into()),
            max: integer(&schema["maximum"]).unwrap_or(i64::MAX.into()).min(i64::MAX.into()),
        },
        "number" => {
            let (above, below) = (schema["exclusiveMinimum"].as_f64(), schema["exclusiveMaximum"].as_f64());
            Shape::Float(Range {
                min: above.or(schema["minimum"].as_f64()).unwrap_or(f64::NEG_INFINITY),
                max: below.or(schema["maximum"].as_f64()).unwrap_or(f64::INFINITY),
                min_excluded: above.is_some(),
                max_excluded: below.is_some(),
                is_single: schema["format"] == "float",
            })
        }
        _ => Shape::Text { is_path: schema["format"] == "path" },
    }
}

fn either(alternatives: &[Json], root: &Json) -> Shape {
    let mut words = Vec::new();
    let mut shapes = Vec::new();
    for alternative in alternatives.iter().filter(|alternative| alternative["type"] != "null") {
        if alternative.get("const").is_some() {
            words.push(word(alternative));
        } else {
            match build(alternative, root) {
                Shape::Either(nested) => shapes.extend(nested),
                shape => shapes.push(shape),
            }
        }
    }
    if !words.is_empty() {
        shapes.insert(0, Shape::Choice(words));
    }
    if shapes.len() == 1 { shapes.remove(0) } else { Shape::Either(shapes) }
}

fn word(schema: &Json) -> Word {
    Word { name: schema["const"].as_str().unwrap_or_default().into(), doc: doc(schema) }
}

fn fields(schema: &Json, root: &Json) -> Vec<Field> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let field = |(name, schema): (&String, &Json)| Field {
        name: name.clone(),
        doc: doc(schema),
        shape: build(schema, root),
        required: required.contains(&name.as_str()),
    };
    schema["properties"].as_object().into_iter().flatten().map(field).collect()
}

fn doc(schema: &Json) -> String {
    schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn integer(number: &Json) -> Option<i128> {
    number.as_u64().map(i128::from).or(number.as_i64().map(i128::from))
}

type FieldNames = fn() -> &'static [&'static str];

/// The structs of the configuration by the name of their definition in the schema.
///
/// The schema lists keys by alphabet; readers of the guide get them in the order of the struct.
const TABLES: &[(&str, FieldNames)] = &[
    ("Config", declared::<Config>),
    ("DataConfig", declared::<DataConfig>),
    ("SplitConfig", declared::<SplitConfig>),
    ("FeaturesConfig", declared::<FeaturesConfig>),
    ("SamplingConfig", declared::<SamplingConfig>),
    ("FilterConfig", declared::<FilterConfig>),
    ("SideConfig", declared::<SideConfig>),
    ("ModelConfig", declared::<ModelConfig>),
    ("EncoderConfig", declared::<EncoderConfig>),
    ("DecoderConfig", declared::<DecoderConfig>),
    ("TrainConfig", declared::<TrainConfig>),
    ("BatchConfig", declared::<BatchConfig>),
    ("OptimizerConfig", declared::<OptimizerConfig>),
    ("GroupConfig", declared::<GroupConfig>),
    ("ScheduleConfig", declared::<ScheduleConfig>),
    ("ValidConfig", declared::<ValidConfig>),
    ("CheckpointConfig", declared::<CheckpointConfig>),
    ("SearchOptions", declared::<SearchOptions>),
    ("MaxLen", declared::<MaxLen>),
    ("Sampling", declared::<Sampling>),
    ("RunConfig", declared::<RunConfig>),
];

fn ordered(shape: Shape, name: &str) -> Shape {
    let Shape::Table(mut fields) = shape else { return shape };
    if let Some((_, declared)) = TABLES.iter().find(|(table, _)| *table == name) {
        let order = declared();
        fields.sort_by_key(|field| order.iter().position(|name| *name == field.name));
    }
    Shape::Table(fields)
}

/// The fields of a struct in the order of their declaration, as its `Deserialize` announces them.
fn declared<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Announced<'a>(&'a mut &'static [&'static str]);

    impl<'de> serde::Deserializer<'de> for Announced<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(serde::de::Error::custom("only the names of the fields are wanted"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("not a struct"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    // The error is the plan: it ends the deserialisation after the announcement.
    let _ = T::deserialize(Announced(&mut fields));
    fields
}

/// Checks a tree against a shape and collects every mistake.
pub(super) struct Checker<'a> {
    pub(super) texts: &'a Texts,
    pub(super) problems: Vec<Problem>,
}

impl Checker<'_> {
    pub(super) fn check(&mut self, shape: &Shape, node: &Node, key: &str) {
        match (shape, &node.value) {
            (Shape::Table(fields), Value::Table(table)) => {
                for (name, child) in table {
                    let path = join(key, name);
                    match fields.iter().find(|field| field.name == *name) {
                        Some(field) => self.check(&field.shape, child, &path),
                        None => self.unknown_key(fields, child, key, name),
                    }
                }
                for field in fields.iter().filter(|field| field.required && !table.contains_key(&field.name))
                {
                    let expected = field.shape.to_string();
                    self.report(&join(key, &field.name), &node.origin, ProblemKind::Missing { expected });
                }
            }
            (Shape::Choice(words), Value::Text(text)) if !words.iter().any(|word| word.name == *text) => {
                let valid: Vec<String> = words.iter().map(|word| word.name.clone()).collect();
                let suggestion = closest(text, valid.iter().map(String::as_str));
                self.report(
                    key,
                    &node.origin,
                    ProblemKind::UnknownValue { found: node.show(), suggestion, valid },
                );
            }
            (&Shape::Int { min, max }, &Value::Int(integer)) if !(min..=max).contains(&integer) => {
                self.out_of_range(shape, node, key);
            }
            (Shape::Float(range), &Value::Float(float)) if !range.contains(float) => {
                self.out_of_range(shape, node, key);
            }
            (Shape::Float(range), &Value::Int(integer)) if !range.contains(integer as f64) => {
                self.out_of_range(shape, node, key);
            }
            (Shape::List(item), Value::List(list)) => {
                for child in list {
                    self.check(item, child, key);
                }
            }
            (Shape::Either(alternatives), value) => self.check_either(alternatives, shape, value, node, key),
            (shape, value) if shape.admits(value) => {}
            _ => {
                let kind = ProblemKind::WrongType { expected: shape.to_string(), found: node.describe() };
                self.report(key, &node.origin, kind);
            }
        }
    }

    /// The first alternative without a mistake is meant; else, of those that take this type of value, the one with the
    /// fewest.
    fn check_either(&mut self, alternatives: &[Shape], whole: &Shape, value: &Value, node: &Node, key: &str) {
        let mut nearest: Option<Vec<Problem>> = None;
        for alternative in alternatives.iter().filter(|alternative| alternative.admits(value)) {
            let mut attempt = Checker { texts: self.texts, problems: Vec::new() };
            attempt.check(alternative, node, key);
            if nearest.as_ref().is_none_or(|nearest| attempt.problems.len() < nearest.len()) {
                nearest = Some(attempt.problems);
            }
        }
        match nearest {
            Some(problems) => self.problems.extend(problems),
            None => {
                let kind = ProblemKind::WrongType { expected: whole.to_string(), found: node.describe() };
                self.report(key, &node.origin, kind);
            }
        }
    }

    fn unknown_key(&mut self, fields: &[Field], child: &Node, table: &str, name: &str) {
        let valid: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
        let suggestion = closest(name, valid.iter().map(String::as_str));
        let place = child.key.as_ref().or(child.origin.as_ref()).cloned();
        self.report(
            &join(table, name),
            &place,
            ProblemKind::UnknownKey { table: table.into(), suggestion, valid },
        );
    }

    fn out_of_range(&mut self, shape: &Shape, node: &Node, key: &str) {
        let kind = ProblemKind::OutOfRange { found: node.show(), allowed: shape.to_string() };
        self.report(key, &node.origin, kind);
    }

    fn report(&mut self, key: &str, origin: &Option<Origin>, kind: ProblemKind) {
        let place = origin.as_ref().map(|origin| self.texts.place(origin));
        self.problems.push(Problem { key: key.into(), kind, place });
    }
}

pub(super) fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.into() } else { format!("{table}.{key}") }
}

/// The word nearest to a misspelt one, if any is near.
pub(super) fn closest<'a>(given: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    // A pasted megabyte is no misspelling, and comparing it would take its time.
    if given.len() > 64 {
        return None;
    }
    words
        .map(|word| (strsim::damerau_levenshtein(given, word), strsim::jaro_winkler(given, word), word))
        .filter(|(edits, similarity, word)| {
            *edits <= word.chars().count().div_ceil(3).min(3) || *similarity > 0.88
        })
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, word)| word.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_struct_of_the_schema_has_its_order() {
        let schema = schemars::schema_for!(Config).to_value();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            if definition["type"] == "object" {
                let declared = TABLES.iter().find(|(table, _)| table == name);
                let (_, declared) = declared.unwrap_or_else(|| panic!("{name} is not listed in TABLES"));
                let mut fields = declared().to_vec();
                fields.sort_unstable();
                let mut keys: Vec<&str> =
                    definition["properties"].as_object().unwrap().keys().map(String::as_str).collect();
                keys.sort_unstable();
                assert_eq!(fields, keys, "{name}");
            }
        }
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        let words = ["hidden", "layers", "dropout", "input_feeding"];
        for (given, expected) in [
            ("hiden", Some("hidden")),
            ("Hidden", Some("hidden")),
            ("input-feeding", Some("input_feeding")),
            ("droput", Some("dropout")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(closest(given, words.into_iter()).as_deref(), expected, "{given}");
        }
    }
}
