//! White space as Python sees it, because published scores were counted that way.

/// Whether Python's `str.isspace` holds: Unicode white space and the four information separators U+001C to U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The words between white space, as `str.split()` gives them.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The text without white space at its end, as `str.rstrip()` gives it.
pub(crate) fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_spaces_and_joiners_are_not() {
        let text = "\u{1c}a\u{1d}b\u{a0}c\u{200b}d\u{3000}\u{1f}";
        assert_eq!(words(text).collect::<Vec<_>>(), ["a", "b", "c\u{200b}d"]);
        assert_eq!(trim_end(text), "\u{1c}a\u{1d}b\u{a0}c\u{200b}d");
        assert_eq!(words(" \u{1e}\n").count(), 0);
    }
}
