//! Which script a text is written in.

use unicode_script::{Script, UnicodeScript};

/// The script of a Unicode name, `Latin`, `Han`, or of its four letters, `Latn`, `Hani`, in any case.
pub(crate) fn script(name: &str) -> Option<Script> {
    let mut chars = name.chars();
    let name: String = chars.next()?.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect();
    Script::from_full_name(&name).or_else(|| Script::from_short_name(&name))
}

/// The share of a text's letters that are of one of some scripts; none for a text without letters of any script.
///
/// Digits, punctuation and marks belong to every script and are not counted.
pub(crate) fn share(text: &str, scripts: &[Script]) -> Option<f64> {
    let (mut all, mut ours) = (0u64, 0u64);
    for c in text.chars() {
        let script = c.script();
        if !matches!(script, Script::Common | Script::Inherited | Script::Unknown) {
            all += 1;
            ours += u64::from(scripts.contains(&script));
        }
    }
    (all > 0).then(|| ours as f64 / all as f64)
}

/// The names of the scripts of a text's letters, each letter once: for counting what a corpus is written in.
pub(crate) fn letters(text: &str) -> impl Iterator<Item = &'static str> {
    text.chars().filter_map(|c| {
        let script = c.script();
        let is_any = matches!(script, Script::Common | Script::Inherited | Script::Unknown);
        (!is_any).then(|| script.full_name())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_count_and_nothing_else() {
        let of = |names: &[&str]| names.iter().map(|name| script(name).unwrap()).collect::<Vec<_>>();
        let rows: &[(&str, &[&str], Option<f64>)] = &[
            ("Hello, 12!", &["Latin"], Some(1.0)),
            ("Hello мир", &["latn"], Some(5.0 / 8.0)),
            ("東京です", &["Han"], Some(0.5)),
            ("東京です", &["Hani", "hiragana"], Some(1.0)),
            ("12 + 3", &["Latin"], None),
            ("", &["Latin"], None),
        ];
        for (text, names, want) in rows {
            assert_eq!(share(text, &of(names)), *want, "{text} {names:?}");
        }
        assert_eq!(script("Klingon"), None);
        assert_eq!(script(""), None);
        assert_eq!(letters("aб1").collect::<Vec<_>>(), ["Latin", "Cyrillic"]);
    }
}
