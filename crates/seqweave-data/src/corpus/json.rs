//! The two texts of a JSON object.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

/// Reads the fields `src` and `tgt` of the object in `line` into two texts.
///
/// Other fields are passed over. An error is a sentence about what was found.
pub(super) fn read_fields<'l>(
    line: &'l str,
    src: &str,
    tgt: &str,
) -> Result<(Cow<'l, str>, Cow<'l, str>), String> {
    let mut json = serde_json::Deserializer::from_str(line);
    let found = Fields { src, tgt }.deserialize(&mut json).map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    match found {
        (Some(source), Some(target)) => {
            if let Some((field, _)) =
                [(src, &source), (tgt, &target)].iter().find(|(_, text)| text.contains('\0'))
            {
                return Err(format!("the field {field:?} has a NUL character"));
            }
            Ok((source, target))
        }
        (None, _) => Err(format!("the field {src:?} is missing")),
        (_, None) => Err(format!("the field {tgt:?} is missing")),
    }
}

struct Fields<'f> {
    src: &'f str,
    tgt: &'f str,
}

type Found<'de> = (Option<Cow<'de, str>>, Option<Cow<'de, str>>);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Found<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found: Found<'de> = (None, None);
        while let Some(key) = map.next_key::<Text>()? {
            // One field may serve as both sides.
            if *key.0 == *self.src {
                let text: Text = map.next_value()?;
                if self.tgt == self.src {
                    found.1 = Some(text.0.clone());
                }
                found.0 = Some(text.0);
            } else if *key.0 == *self.tgt {
                found.1 = Some(map.next_value::<Text>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A text, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        type Want = Result<(&'static str, &'static str), &'static str>;
        let rows: &[(&str, Want)] = &[
            (r#"{"id":7,"src":"a","more":[{}],"tgt":"b"}"#, Ok(("a", "b"))),
            (r#"{"tgt":"\u00e9\n","src":""}"#, Ok(("", "é\n"))),
            (r#"{"src":"a"}"#, Err("the field \"tgt\" is missing")),
            (r#"{"src":1,"tgt":"b"}"#, Err("invalid type: integer `1`")),
            (r#"["a","b"]"#, Err("expected a JSON object")),
            (r#"{"src":"a","tgt":"b"} x"#, Err("trailing characters")),
            (r#"{"src":"a\u0000","tgt":"b"}"#, Err("the field \"src\" has a NUL character")),
            ("", Err("EOF")),
        ];
        for (line, want) in rows {
            match (read_fields(line, "src", "tgt"), want) {
                (Ok((s, t)), Ok(want)) => assert_eq!((&*s, &*t), *want, "{line}"),
                (Err(message), Err(part)) => assert!(message.contains(part), "{line}: {message}"),
                (found, want) => panic!("{line}: expected {want:?}, found {found:?}"),
            }
        }
    }
}
